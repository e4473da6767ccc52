//! Fetching models by id, with a bar on stderr.

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use weightscope::report::escape;
use weightscope_hub::{Event, Found, HubError, ModelId, Name, Places, Remote, fetch};

use crate::output::complain;

/// What may be done about a model that is not in the cache, and was typed like this.
pub(crate) fn hint(name: &str) -> String {
    if name.starts_with("hf:") {
        String::new()
    } else {
        format!("; --download or hf:{name} fetches it")
    }
}

/// Fetches what is missing of a model, and finds it. Without a network it is what the cache has.
pub(crate) fn get(
    id: &ModelId,
    name: &Name,
    places: &Places,
    variable: &dyn Fn(&str) -> Option<OsString>,
    progress: bool,
) -> Result<Found, HubError> {
    let Some(cache) = &places.hub else { return places.find(name) };
    let bar = bar(progress);
    let fetched = fetch(&Remote::from_environment(variable), id, cache, &mut |event| match event {
        Event::Begin { bytes, .. } => {
            bar.set_length(bytes);
            bar.reset();
        }
        Event::File { path, .. } => bar.set_message(escape::terminal(path).into_owned()),
        Event::Bytes(bytes) => bar.set_position(bytes),
        _ => {}
    });
    bar.finish_and_clear();
    match fetched {
        Ok(()) => places.find(name),
        // Whoever is offline on purpose knows it.
        Err(error @ HubError::Offline { .. }) => places.find(name).map_err(|_| error),
        Err(error @ HubError::NotReached { .. }) => match places.find(name) {
            Ok(found) => {
                complain(&format!("{error}; what the cache has of it is read"));
                Ok(found)
            }
            Err(_) => Err(error),
        },
        Err(error) => Err(error),
    }
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
