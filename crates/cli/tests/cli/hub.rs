//! Models by id, from caches.

use std::fs;
use std::path::Path;

use crate::common::{Run, command, fixture, folder, run_with, small};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A cache with a model, whose files are links to blobs.
fn cache(at: &Path, id: &str, source: &Path) {
    let model = at.join(format!("models--{}", id.replace('/', "--")));
    let snapshot = model.join("snapshots").join(COMMIT);
    for folder in [&snapshot, &model.join("refs"), &model.join("blobs")] {
        fs::create_dir_all(folder).unwrap();
    }
    fs::write(model.join("refs/main"), COMMIT).unwrap();
    for (number, file) in fs::read_dir(source).unwrap().enumerate() {
        let file = file.unwrap();
        let blob = format!("{number:064x}");
        fs::copy(file.path(), model.join("blobs").join(&blob)).unwrap();
        let link = snapshot.join(file.file_name());
        std::os::unix::fs::symlink(format!("../../blobs/{blob}"), link).unwrap();
    }
}

fn run_in(cache: &Path, line: &str) -> Run {
    run_with(command().env("HF_HUB_CACHE", cache).args(line.split_whitespace()))
}

#[test]
fn every_command_takes_ids() {
    let (at, out) = (folder(), folder());
    cache(at.path(), "org/tiny", &fixture("tiny-gpt2"));
    cache(at.path(), "org/tuned", &fixture("tiny-gpt2-tuned"));
    let label = "org/tiny (commit 0123456789ab)";
    let scan = run_in(at.path(), "scan org/tiny --analyzers integrity --format json").exits(0);
    assert_eq!(scan.json()["sources"][0]["path"], label);
    assert_eq!(scan.err, "");
    for line in ["scan hf:org/tiny@main --analyzers integrity", "info org/tiny"] {
        let run = run_in(at.path(), line).exits(0);
        assert!(run.first_line().starts_with("org/tiny"), "{}", run.first_line());
        assert!(run.first_line().contains("(commit 0123456789ab)"), "{}", run.first_line());
    }
    let both = run_in(at.path(), "compare org/tiny org/tuned --no-spectra --format json").exits(0);
    assert_eq!(both.json()["sources"][0]["path"], label);
    assert_eq!(both.json()["sources"][1]["path"], "org/tuned (commit 0123456789ab)");
    let page = out.path().join("wpe.json");
    let plot = format!("plot org/tiny --weight wpe.weight -o {}", page.display());
    run_in(at.path(), &plot).exits(0);
    assert!(page.exists());
    let plan = run_in(at.path(), "plan quantize org/tiny --target-bpw 8 --for any").exits(0);
    assert!(plan.first_line().contains(label), "{}", plan.first_line());
}

#[test]
fn a_path_that_exists_is_no_id() {
    let (at, here) = (folder(), folder());
    cache(at.path(), "org/tiny", &fixture("tiny-gpt2"));
    fs::create_dir_all(here.path().join("org/tiny")).unwrap();
    small().write(&here.path().join("org/tiny")).unwrap();
    let mut command = command();
    command.current_dir(here.path()).env("HF_HUB_CACHE", at.path());
    let run = run_with(command.args(["info", "org/tiny", "--format", "json"])).exits(0);
    assert!(!run.out.contains("gpt2"), "{}", run.out);
}

#[test]
fn what_is_not_found_says_where_it_was_looked_for() {
    let (at, out) = (folder(), folder());
    let shown = at.path().display().to_string();
    for line in ["scan org/name", "info org/name", "plan quantize org/name --target-bpw 4"] {
        let run =
            run_in(at.path(), line).exits(4).says("org/name: there is no such file or folder");
        assert!(run.err.contains(&format!("no such model in the cache {shown}")), "{}", run.err);
        let hint =
            if cfg!(feature = "hub") { "--download or hf:org/name" } else { "the feature hub" };
        assert!(run.err.contains(hint), "{}", run.err);
    }
    // A missing file is a missing file.
    for name in ["model.safetensors", "org/name/model.gguf", "a/b/c/d"] {
        let run = run_in(at.path(), &format!("scan {name}")).exits(4);
        run.says(&format!("{name}: there is no such file or folder\n"));
    }
    for name in ["hf:../name", "hf:org/name@../x", "ollama:a/b/c/d"] {
        run_in(at.path(), &format!("scan {name}")).exits(2).says("is no name of a model");
    }
    run_in(at.path(), "scan ollama:tiny").exits(4).says("Ollama has no such model in /nonexistent");
    // A report says so, too.
    let report = out.path().join("report.json");
    run_in(at.path(), &format!("scan org/name -o {}", report.display())).exits(4);
    let text = fs::read_to_string(&report).unwrap();
    assert!(text.contains("\"not-cached\"") && text.contains("\"rejected\""), "{text}");
}

#[test]
fn reports_are_not_written_into_a_cached_model() {
    let at = folder();
    cache(at.path(), "org/tiny", &fixture("tiny-gpt2"));
    let snapshot = at.path().join("models--org--tiny/snapshots").join(COMMIT);
    let target = snapshot.join("model.json");
    std::os::unix::fs::symlink("config.json", &target).unwrap();
    let line = format!("scan org/tiny -o {}", target.display());
    run_in(at.path(), &line).exits(2).says("is part of the checkpoint");
}

#[test]
fn unfinished_downloads_are_said_beside_the_answer() {
    let at = folder();
    cache(at.path(), "org/tiny", &fixture("tiny-gpt2"));
    fs::write(at.path().join("models--org--tiny/blobs/ff.incomplete"), b"12").unwrap();
    let run = run_in(at.path(), "scan org/tiny --analyzers integrity --format json").exits(0);
    assert!(run.err.contains("1 file of an unfinished download, with 2 bytes"), "{}", run.err);
    assert!(run.json()["sources"][0]["notes"].to_string().contains("unfinished"));
}

/// A hub with one model, made of the files of a folder.
#[cfg(feature = "hub")]
mod server {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    pub(super) struct Hub {
        pub(super) url: String,
        pub(super) requests: Arc<AtomicUsize>,
    }

    pub(super) fn start(source: PathBuf) -> Hub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests: Arc<AtomicUsize> = Arc::default();
        let count = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let reader = BufReader::new(stream.try_clone().unwrap());
                let mut lines = reader.lines().map_while(Result::ok);
                let first = lines.next().unwrap();
                lines.take_while(|line| !line.is_empty()).for_each(drop);
                let mut words = first.split(' ');
                let (method, path) = (words.next().unwrap(), words.next().unwrap());
                let (status, body) = answer(&source, path);
                let head = format!(
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nX-Repo-Commit: {COMMIT}\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                let body = if method == "HEAD" { &[] } else { &body[..] };
                // Whoever has read enough hangs up.
                let _ = stream.write_all(&[head.as_bytes(), body].concat());
            }
        });
        Hub { url, requests }
    }

    fn answer(source: &Path, path: &str) -> (u16, Vec<u8>) {
        if path == "/api/models/org/tiny/tree/main?recursive=true" {
            let files = fs::read_dir(source).unwrap().enumerate().map(|(number, file)| {
                let file = file.unwrap();
                let (name, bytes) = (file.file_name(), file.metadata().unwrap().len());
                let name = name.to_str().unwrap();
                format!(r#"{{"type":"file","path":"{name}","oid":"{number:040x}","size":{bytes}}}"#)
            });
            let list = format!("[{}]", files.collect::<Vec<_>>().join(","));
            return (200, list.into_bytes());
        }
        let file = path.strip_prefix("/org/tiny/resolve/").and_then(|rest| rest.split_once('/'));
        let bytes = file.and_then(|(_, name)| fs::read(source.join(name)).ok());
        bytes.map_or((404, Vec::new()), |bytes| (200, bytes))
    }
}

#[cfg(feature = "hub")]
#[test]
fn models_are_fetched_only_when_that_is_asked_for() {
    use std::sync::atomic::Ordering;
    let at = folder();
    let hub = server::start(fixture("tiny-gpt2"));
    let run = |url: &str, line: &str, offline: &str| {
        let mut command = command();
        command
            .env("HF_HUB_CACHE", at.path())
            .env("HF_ENDPOINT", url)
            .env("HF_HUB_OFFLINE", offline);
        run_with(command.args(line.split_whitespace()))
    };
    run(&hub.url, "info org/tiny", "").exits(4).says("--download or hf:org/tiny fetches it");
    run(&hub.url, "info hf:org/tiny", "1").exits(4).says("HF_HUB_OFFLINE");
    assert_eq!(hub.requests.load(Ordering::Relaxed), 0);
    // Flags that make no sense are told before anything is fetched.
    run(&hub.url, "scan hf:org/tiny --analyzers none", "").exits(2);
    run(&hub.url, "scan hf:org/tiny -o /nonexistent/report.json", "").exits(5);
    assert_eq!(hub.requests.load(Ordering::Relaxed), 0);
    // Headers are enough for what a model is, and are not kept.
    let info = run(&hub.url, "info hf:org/tiny", "").exits(0);
    let local = run_with(command().arg("info").arg(fixture("tiny-gpt2"))).exits(0);
    assert!(
        info.first_line().starts_with("org/tiny (commit 0123456789ab)"),
        "{}",
        info.first_line()
    );
    assert_eq!(info.out.split_once('\n').unwrap().1, local.out.split_once('\n').unwrap().1);
    assert_eq!(fs::read_dir(at.path()).unwrap().count(), 0, "nothing went into the cache");
    let before = hub.requests.load(Ordering::Relaxed);
    let first = run(&hub.url, "scan hf:org/tiny --analyzers integrity --format json", "").exits(0);
    assert_eq!(first.err, "");
    assert_eq!(first.json()["sources"][0]["path"], "org/tiny (commit 0123456789ab)");
    let asked = hub.requests.load(Ordering::Relaxed);
    assert_eq!(asked - before, 4, "a list, a commit and two files");
    // From now on it is there.
    run(&hub.url, "info org/tiny", "").exits(0);
    run(&hub.url, "info hf:org/tiny", "YES").exits(0);
    assert_eq!(hub.requests.load(Ordering::Relaxed), asked);
    run(&hub.url, "info org/tiny --download", "").exits(0);
    assert_eq!(hub.requests.load(Ordering::Relaxed), asked + 2);
    // Nobody is there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{gone}");
    run(&gone, "info hf:org/tiny", "").exits(0).says("what the cache has of it is read");
    run(&gone, "info hf:org/other", "").exits(4).says("cannot be reached");
    run(&hub.url, "info hf:org/other", "").exits(4).says("answers 404: there is no such model");
}
