//! Fetching models by id, with a bar on stderr.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use weightscope::report::escape;
use weightscope_hub::{Event, Found, HubError, ModelId, Name, Places, Remote, fetch, skim};

use crate::inputs::Wish;
use crate::output::complain;
use crate::signals::Signals;

/// What may be done about a model that is not in the cache, and was typed like this.
pub(crate) fn hint(name: &str) -> String {
    if name.starts_with("hf:") {
        String::new()
    } else {
        format!("; --download or hf:{name} fetches it")
    }
}

/// A folder with headers that is gone when this is.
#[derive(Debug)]
pub(crate) struct Headers {
    _folder: tempfile::TempDir,
}

/// Fetches what is missing of a model, or its headers where they are enough, and finds it. Without a network it is what the cache has.
pub(crate) fn get(
    id: &ModelId,
    name: &Name,
    places: &Places,
    variable: &dyn Fn(&str) -> Option<OsString>,
    wish: Wish<'_>,
) -> Result<(Found, Option<Headers>), HubError> {
    let remote = Remote::from_environment(variable);
    let got = match wish.headers.filter(|_| !wish.download) {
        Some(signals) => headers(id, &remote, signals).map(|(found, folder)| (found, Some(folder))),
        None => whole(id, name, places, &remote, wish.progress).map(|found| (found, None)),
    };
    match got {
        // Whoever is offline on purpose knows it.
        Err(error @ HubError::Offline { .. }) => {
            places.find(name).map(|found| (found, None)).map_err(|_| error)
        }
        Err(error @ HubError::NotReached { .. }) => match places.find(name) {
            Ok(found) => {
                complain(&format!("{error}; what the cache has of it is read"));
                Ok((found, None))
            }
            Err(_) => Err(error),
        },
        got => got,
    }
}

/// Fetches headers alone.
fn headers(id: &ModelId, remote: &Remote, signals: &Signals) -> Result<(Found, Headers), HubError> {
    let folder = tempfile::tempdir().map_err(|cause| HubError::Unwritable {
        id: id.to_string(),
        path: std::env::temp_dir(),
        cause,
    })?;
    let found = skim(remote, id, folder.path(), &|| signals.is_raised())?;
    Ok((found, Headers { _folder: folder }))
}

/// Fetches what the cache lacks.
fn whole(
    id: &ModelId,
    name: &Name,
    places: &Places,
    remote: &Remote,
    progress: bool,
) -> Result<Found, HubError> {
    let Some(cache) = &places.hub else { return places.find(name) };
    let bar = bar(progress);
    let fetched = fetch(remote, id, cache, &mut |event| match event {
        Event::Begin { bytes, .. } => {
            bar.set_length(bytes);
            bar.reset();
        }
        Event::File { path, .. } => bar.set_message(escape::terminal(path).into_owned()),
        Event::Bytes(bytes) => bar.set_position(bytes),
        _ => {}
    });
    bar.finish_and_clear();
    fetched.and_then(|()| places.find(name))
}

fn bar(show: bool) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let is_shown = show && io::stderr().is_terminal();
    bar.set_draw_target(if is_shown {
        ProgressDrawTarget::stderr_with_hz(10)
    } else {
        ProgressDrawTarget::hidden()
    });
    let template = "{bar:16.cyan/dim} {decimal_bytes}/{decimal_total_bytes}  {decimal_bytes_per_sec}, about {eta} left  {wide_msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("━╸─"));
    }
    bar
}
