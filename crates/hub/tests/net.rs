//! Fetching from a hub that is a thread of the test, with all that hubs and mirrors do.
#![cfg(feature = "net")]

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use weightscope_hub::{Event, HubError, ModelId, Name, Places, Remote, fetch, skim};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TOKEN: &str = "hf_secret";

/// What was asked.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    path: String,
    token: bool,
    range: Option<u64>,
    to: Option<u64>,
    encoding: String,
}

/// What is answered: a status, headers, a body, and after how many bytes of it the connection breaks.
#[derive(Clone, Debug, Default)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    cut: Option<usize>,
}

fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Answer { status, headers, body: body.to_vec(), cut: None }
}

struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// Answers by `handle`, which is also told how often the same was asked before.
    fn start(handle: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, handle) = (Arc::clone(&asked), Arc::new(handle));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, handle) = (Arc::clone(&seen), Arc::clone(&handle));
                thread::spawn(move || serve(stream.unwrap(), &seen, &*handle));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<Asked>>,
    handle: &dyn Fn(&Asked, usize) -> Answer,
) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let mut asked =
        Asked { method, path, token: false, range: None, to: None, encoding: String::new() };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        match name.to_lowercase().as_str() {
            "authorization" => asked.token = value == format!("Bearer {TOKEN}"),
            "range" => {
                let (from, to) = value.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                asked.range = Some(from.parse().unwrap());
                asked.to = to.parse().ok();
            }
            "accept-encoding" => value.clone_into(&mut asked.encoding),
            _ => {}
        }
    }
    let mut all = seen.lock().unwrap();
    let before =
        all.iter().filter(|a| (&a.method, &a.path) == (&asked.method, &asked.path)).count();
    all.push(asked.clone());
    drop(all);
    let Answer { status, mut headers, body, cut } = handle(&asked, before);
    if !headers.iter().any(|(name, _)| name == "Content-Length") {
        headers.push(("Content-Length".into(), body.len().to_string()));
    }
    let mut text = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    for (name, value) in headers {
        write!(text, "{name}: {value}\r\n").unwrap();
    }
    text.push_str("\r\n");
    let _ = stream.write_all(text.as_bytes());
    if asked.method != "HEAD" {
        let _ = stream.write_all(&body[..cut.unwrap_or(body.len())]);
    }
    let _ = stream.flush();
    let _ = stream.shutdown(std::net::Shutdown::Write);
    // Closing with unread bytes would reset the connection before the answer is read.
    let _ = stream.read(&mut [0; 1]);
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn weights() -> Vec<u8> {
    (0..100_000u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// Bytes from `from` on, as a server with ranges answers.
fn ranged(asked: &Asked, bytes: &[u8]) -> Answer {
    match asked.range {
        Some(from) if from >= bytes.len() as u64 => answer(416, &[], b""),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            answer(206, &[("Content-Range", &range)], &bytes[from as usize..])
        }
        None => answer(200, &[], bytes),
    }
}

/// A hub whose large files lie on a second server, which answers by `large`.
fn hub(large: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> (Server, Server) {
    let store = Server::start(large);
    let (target, digest) = (format!("{}/blob?signature=x", store.url), sha256(&weights()));
    let tree = format!(
        r#"[{{"type":"directory","path":"onnx","oid":"{o}","size":0}},
            {{"type":"file","path":"README.md","oid":"{o}","size":5}},
            {{"type":"file","path":"config.json","oid":"{o}","size":2}},
            {{"type":"file","path":"pytorch_model.bin","oid":"{o}","size":9,"lfs":{{"oid":"{digest}","size":9}}}},
            {{"type":"file","path":"model.safetensors","oid":"{o}","size":{n},"lfs":{{"oid":"{digest}","size":{n},"pointerSize":134}}}}]"#,
        o = "ab".repeat(20),
        n = weights().len(),
    );
    let size = weights().len().to_string();
    let main = Server::start(move |asked, _| match asked.path.as_str() {
        "/api/models/org/name/tree/main?recursive=true" => answer(200, &[], tree.as_bytes()),
        path if path.starts_with("/org/name/resolve/") => {
            let commit = ("X-Repo-Commit", COMMIT);
            match path.rsplit('/').next().unwrap() {
                "config.json" => answer(200, &[commit], b"{}"),
                "model.safetensors" => {
                    let etag = format!("\"{digest}\"");
                    let linked = [("X-Linked-Etag", &*etag), ("X-Linked-Size", &*size)];
                    answer(302, &[commit, linked[0], linked[1], ("Location", &target)], b"")
                }
                _ => answer(404, &[("X-Error-Code", "EntryNotFound")], b""),
            }
        }
        _ => answer(404, &[], b""),
    });
    (main, store)
}

fn remote(endpoint: &str) -> Remote {
    let variables = [("HF_ENDPOINT", endpoint), ("HF_TOKEN", TOKEN)];
    let remote = Remote::from_environment(&|name| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
    });
    remote.pause(Duration::from_millis(1))
}

fn id(text: &str) -> ModelId {
    match Name::parse(text).unwrap().unwrap() {
        Name::Model { id, .. } => id,
        Name::Ollama(_) => panic!("{text}"),
    }
}

/// Fetches `org/name`; the numbers of bytes that were told.
fn get(server: &Server, cache: &Path) -> Result<Vec<u64>, HubError> {
    let mut told = Vec::new();
    fetch(&remote(&server.url), &id("hf:org/name"), cache, &mut |event| match event {
        Event::Begin { bytes, .. } | Event::Bytes(bytes) => told.push(bytes),
        _ => {}
    })?;
    Ok(told)
}

fn blob(cache: &Path) -> PathBuf {
    cache.join("models--org--name/blobs").join(sha256(&weights()))
}

fn unfinished(cache: &Path) -> PathBuf {
    blob(cache).with_extension("incomplete")
}

/// Leaves so many bytes of the weights as an earlier download would.
fn leave(cache: &Path, bytes: &[u8]) {
    fs::create_dir_all(unfinished(cache).parent().unwrap()).unwrap();
    fs::write(unfinished(cache), bytes).unwrap();
}

/// Checks that the model lies in the cache as huggingface_hub would have it.
#[track_caller]
fn is_whole(cache: &Path) {
    let places = Places { hub: Some(cache.to_owned()), ..Places::default() };
    let found = places.find(&Name::parse("org/name").unwrap().unwrap()).unwrap();
    assert_eq!(found.label, "org/name (commit 0123456789ab)");
    assert!(found.notes.is_empty());
    assert!(fs::read(found.path.join("model.safetensors")).unwrap() == weights());
    assert_eq!(fs::read(found.path.join("config.json")).unwrap(), b"{}");
    assert_eq!(fs::read_dir(&found.path).unwrap().count(), 2, "nothing that is not needed");
    assert_eq!(fs::read_to_string(cache.join("models--org--name/refs/main")).unwrap(), COMMIT);
    #[cfg(unix)]
    {
        let link = fs::read_link(found.path.join("model.safetensors")).unwrap();
        assert_eq!(link, Path::new("../../blobs").join(sha256(&weights())));
    }
    assert!(!unfinished(cache).exists());
}

#[track_caller]
fn says(error: &HubError, code: &str, words: &str) {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    assert!(text.contains(words), "{words:?} is not in {text:?}");
    assert!(text.starts_with("org/name") && !text.contains('\n'), "{text}");
    assert!(!text.contains(TOKEN) && !text.contains("signature"), "{text}");
}

#[test]
fn a_model_comes_once_and_the_token_stays_with_its_hub() {
    let cache = tempfile::tempdir().unwrap();
    let (main, store) = hub(|asked, _| ranged(asked, &weights()));
    let told = get(&main, cache.path()).unwrap();
    assert_eq!((told[0], *told.last().unwrap()), (400_002, 400_002));
    assert!(told[1..].is_sorted());
    is_whole(cache.path());
    assert!(main.asked().iter().all(|asked| asked.token && asked.encoding == "identity"));
    assert_eq!(store.asked().len(), 1);
    let to_store = &store.asked()[0];
    assert!(!to_store.token && to_store.encoding == "identity", "{to_store:?}");
    // What is here is not fetched again.
    let asked = main.asked().len();
    assert_eq!(get(&main, cache.path()).unwrap(), [0]);
    assert_eq!(main.asked().len(), asked + 2, "the list, and which commit it is");
    assert_eq!(store.asked().len(), 1);
    is_whole(cache.path());
}

#[test]
fn redirects_within_the_hub_keep_the_token() {
    let cache = tempfile::tempdir().unwrap();
    let (main, _store) = hub(|asked, _| ranged(asked, &weights()));
    let inner = main.url;
    let front = Server::start(move |asked, _| match asked.path.strip_prefix("/moved") {
        Some(path) if asked.token => {
            // Behind the same address is the hub itself.
            let stream = TcpStream::connect(inner.strip_prefix("http://").unwrap()).unwrap();
            pass(stream, &asked.method, path)
        }
        Some(_) => answer(401, &[], b""),
        None => answer(307, &[("Location", &format!("/moved{}", asked.path))], b""),
    });
    get(&front, cache.path()).unwrap();
    is_whole(cache.path());
}

/// Asks another server and hands its answer on.
fn pass(mut stream: TcpStream, method: &str, path: &str) -> Answer {
    let request = format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).unwrap().parse().unwrap();
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name != "Connection" {
            headers.push((name.to_owned(), value.to_owned()));
        }
    }
    let mut body = Vec::new();
    reader.read_to_end(&mut body).unwrap();
    Answer { status, headers, body, cut: None }
}

#[test]
fn a_download_that_broke_off_goes_on() {
    let cache = tempfile::tempdir().unwrap();
    // The first answer ends early, the second one too.
    let (main, store) = hub(|asked, before| Answer {
        cut: (before < 2).then_some(100_000),
        ..ranged(asked, &weights())
    });
    get(&main, cache.path()).unwrap();
    is_whole(cache.path());
    let from: Vec<Option<u64>> = store.asked().iter().map(|asked| asked.range).collect();
    assert_eq!(from, [None, Some(100_000), Some(200_000)]);
}

#[test]
fn an_earlier_download_is_taken_up() {
    let cache = tempfile::tempdir().unwrap();
    let (main, store) = hub(|asked, _| ranged(asked, &weights()));
    leave(cache.path(), &weights()[..250_000]);
    let told = get(&main, cache.path()).unwrap();
    assert_eq!((told[0], *told.last().unwrap()), (150_002, 150_002));
    assert_eq!(store.asked()[0].range, Some(250_000));
    is_whole(cache.path());
}

#[test]
fn files_of_another_size_are_replaced() {
    let cache = tempfile::tempdir().unwrap();
    let (main, _store) = hub(|asked, _| ranged(asked, &weights()));
    get(&main, cache.path()).unwrap();
    // A disk that was full once, and a file where a link should be.
    fs::write(blob(cache.path()), b"cut").unwrap();
    let snapshot = cache.path().join("models--org--name/snapshots").join(COMMIT);
    fs::remove_file(snapshot.join("config.json")).unwrap();
    fs::write(snapshot.join("config.json"), b"").unwrap();
    get(&main, cache.path()).unwrap();
    is_whole(cache.path());
}

#[test]
fn mirrors_without_ranges_and_without_content_range() {
    for with_range in [false, true] {
        let cache = tempfile::tempdir().unwrap();
        let (main, _store) = hub(move |asked, _| match asked.range {
            Some(from) if with_range => answer(206, &[], &weights()[from as usize..]),
            _ => answer(200, &[], &weights()),
        });
        leave(cache.path(), &weights()[..250_000]);
        get(&main, cache.path()).unwrap();
        is_whole(cache.path());
    }
}

#[test]
fn a_range_that_is_refused_begins_anew() {
    let cache = tempfile::tempdir().unwrap();
    let (main, store) = hub(|asked, _| match asked.range {
        Some(_) => answer(416, &[], b""),
        None => answer(200, &[], &weights()),
    });
    leave(cache.path(), &weights()[..250_000]);
    get(&main, cache.path()).unwrap();
    is_whole(cache.path());
    assert_eq!(store.asked().len(), 2);
}

#[test]
fn wrong_bytes_are_not_kept() {
    let cache = tempfile::tempdir().unwrap();
    let mut wrong = weights();
    wrong[77] ^= 1;
    let (main, _store) = hub(move |asked, _| ranged(asked, &wrong));
    let error = get(&main, cache.path()).unwrap_err();
    says(&error, "wrong-checksum", "400000 bytes came whose SHA-256 is");
    assert!(error.to_string().contains(&sha256(&weights())));
    assert!(!unfinished(cache.path()).exists() && !blob(cache.path()).exists());
    // Nor is a beginning that another program spoiled.
    let (main, _store) = hub(|asked, _| ranged(asked, &weights()));
    leave(cache.path(), &[7; 1000]);
    assert_eq!(get(&main, cache.path()).unwrap_err().code(), "wrong-checksum");
    get(&main, cache.path()).unwrap();
    is_whole(cache.path());
}

#[test]
fn sizes_that_differ_are_refused() {
    let cache = tempfile::tempdir().unwrap();
    let (main, _store) = hub(|_, _| answer(200, &[], b"<html>log in</html>"));
    let error = get(&main, cache.path()).unwrap_err();
    says(&error, "unusable-answer", "it has 19 bytes and should have 400000");
    let (main, _store) =
        hub(|_, _| answer(206, &[("Content-Range", "bytes 9-399999/400000")], b"x"));
    says(&get(&main, cache.path()).unwrap_err(), "unusable-answer", "other bytes come");
}

#[test]
fn what_never_ends_gives_up_and_keeps_what_came() {
    let cache = tempfile::tempdir().unwrap();
    let (main, store) = hub(|asked, before| match before {
        0 => Answer { cut: Some(100_000), ..ranged(asked, &weights()) },
        _ => Answer { cut: Some(0), ..ranged(asked, &weights()) },
    });
    let error = get(&main, cache.path()).unwrap_err();
    says(&error, "cut-off", "broke off after 100000 of 400000 bytes; the same command goes on");
    assert_eq!(fs::metadata(unfinished(cache.path())).unwrap().len(), 100_000);
    assert!(store.asked().len() < 10);
    assert!(!cache.path().join("models--org--name/refs/main").exists());
    let (main, _store) = hub(|asked, _| ranged(asked, &weights()));
    get(&main, cache.path()).unwrap();
    is_whole(cache.path());
}

#[test]
fn troubles_that_pass_are_waited_for() {
    for status in [429, 500, 503] {
        let cache = tempfile::tempdir().unwrap();
        let (main, _store) = hub(move |asked, before| match before {
            0 | 1 => answer(status, &[("Retry-After", "0")], b""),
            _ => ranged(asked, &weights()),
        });
        get(&main, cache.path()).unwrap();
        is_whole(cache.path());
    }
}

#[test]
fn refusals_say_what_they_mean() {
    for (status, code, words) in [
        (401, "", "the token (HF_TOKEN) is not good for it"),
        (401, "GatedRepo", "ask for access on its page"),
        (403, "GatedRepo", "ask for access on its page"),
        (403, "", "answers 403: the token"),
        (404, "RevisionNotFound", "the model has no such revision"),
        (404, "RepoNotFound", "there is no such model"),
        (429, "", "too many requests"),
        (503, "", "answers 503: the server is in trouble"),
        (410, "", "answers 410"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let main = Server::start(move |_, _| answer(status, &[("X-Error-Code", code)], b"<html>"));
        says(&get(&main, cache.path()).unwrap_err(), "refused", words);
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0, "nothing is written");
    }
    // A rest that is too long is not waited for.
    let cache = tempfile::tempdir().unwrap();
    let main = Server::start(|_, _| answer(429, &[("Retry-After", "3600")], b""));
    says(&get(&main, cache.path()).unwrap_err(), "refused", "it asks for 3600 s of rest");
    assert_eq!(main.asked().len(), 1);
    // Nobody is there.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Server { url: format!("http://{port}"), asked: Arc::default() };
    says(&get(&nobody, cache.path()).unwrap_err(), "not-reached", "cannot be reached");
}

#[test]
fn listings_that_lie_write_nothing() {
    let oid = "ab".repeat(20);
    let file = |path: &str, size: &str| {
        format!(r#"[{{"type":"file","path":"{path}","oid":"{oid}","size":{size}}}]"#)
    };
    for (body, words) in [
        (file("../model.safetensors", "1"), "the list of its files is odd"),
        (file("/model.safetensors", "1"), "the list of its files is odd"),
        (file("model.safetensors", "-1"), "the list of its files is odd"),
        ("{\"error\":1}".to_owned(), "there is no list of its files"),
        ("<html>".to_owned(), "is not JSON"),
        (file("README.md", "1"), "has no weights that can be read"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let main = Server::start(move |_, _| answer(200, &[], body.as_bytes()));
        let error = get(&main, cache.path()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
    }
    // More than any disk holds.
    let cache = tempfile::tempdir().unwrap();
    let body = file("model.safetensors", "9000000000000000000");
    let main =
        Server::start(move |_, _| answer(200, &[("X-Repo-Commit", COMMIT)], body.as_bytes()));
    let error = get(&main, cache.path()).unwrap_err();
    #[cfg(unix)]
    says(&error, "no-room", "9000000000000000000 bytes are to be fetched, and");
    #[cfg(not(unix))]
    drop(error);
}

#[test]
fn redirects_that_lead_astray_are_not_followed() {
    for (target, words) in [
        ("file:///etc/passwd", "leads away from HTTPS"),
        ("ftp://x", "leads away from HTTPS"),
        ("/loop", "redirects without an end"),
    ] {
        let cache = tempfile::tempdir().unwrap();
        let main = Server::start(move |_, _| answer(302, &[("Location", target)], b""));
        says(&get(&main, cache.path()).unwrap_err(), "unusable-answer", words);
    }
    // The next page of a list is asked with the token, so it lies where the first one does.
    let cache = tempfile::tempdir().unwrap();
    let link = "<http://other.example/x>; rel=\"next\"";
    let main = Server::start(move |_, _| answer(200, &[("Link", link)], b"[]"));
    says(&get(&main, cache.path()).unwrap_err(), "unusable-answer", "goes on elsewhere");
}

#[test]
fn offline_asks_nobody() {
    let main = Server::start(|_, _| answer(500, &[], b""));
    let (cache, url) = (tempfile::tempdir().unwrap(), main.url.clone());
    let remote = Remote::from_environment(&|name| match name {
        "HF_ENDPOINT" => Some(OsString::from(&url)),
        "HF_HUB_OFFLINE" => Some(OsString::from("1")),
        _ => None,
    });
    let error = fetch(&remote, &id("hf:org/name"), cache.path(), &mut |_| {}).unwrap_err();
    says(&error, "offline", "HF_HUB_OFFLINE");
    assert!(main.asked().is_empty());
}

/// A hub with one file of weights and config.json, both in git.
fn small_hub(name: &'static str, bytes: Vec<u8>, cut: Option<usize>) -> Server {
    let oid = "ab".repeat(20);
    let tree = format!(
        r#"[{{"type":"file","path":"{name}","oid":"{oid}","size":{}}},
            {{"type":"file","path":"config.json","oid":"{oid}","size":2}}]"#,
        bytes.len()
    );
    Server::start(move |asked, before| {
        let commit = ("X-Repo-Commit", COMMIT);
        match asked.path.rsplit('/').next().unwrap() {
            "main?recursive=true" => answer(200, &[], tree.as_bytes()),
            "config.json" => answer(200, &[commit], b"{}"),
            file if file == name => {
                Answer { cut: cut.filter(|_| before == 0), ..answer(200, &[commit], &bytes) }
            }
            _ => answer(404, &[], b""),
        }
    })
}

/// What is in the folder of headers: the file's bytes.
fn skimmed(name: &'static str, bytes: &[u8], cut: Option<usize>) -> Result<Vec<u8>, HubError> {
    let (server, folder) = (small_hub(name, bytes.to_vec(), cut), tempfile::tempdir().unwrap());
    let found = skim(&remote(&server.url), &id("hf:org/name"), folder.path(), &|| false)?;
    assert_eq!(
        (found.path.as_path(), &*found.label),
        (folder.path(), "org/name (commit 0123456789ab)")
    );
    assert_eq!(fs::read(folder.path().join("config.json")).unwrap(), b"{}");
    Ok(fs::read(folder.path().join(name)).unwrap())
}

/// A file of safetensors with one tensor of 400,000 bytes.
fn safetensors(dtype: &str) -> Vec<u8> {
    let header = format!(r#"{{"w":{{"dtype":"{dtype}","shape":[1],"data_offsets":[0,400000]}}}}"#);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend(weights());
    file
}

/// A GGUF with a list of lists of texts, numbers, and one tensor.
fn gguf() -> (Vec<u8>, usize) {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend([1u64, 3].iter().flat_map(|n| n.to_le_bytes()));
    // A list of one list of two texts.
    file.extend(text("tokens"));
    file.extend(9u32.to_le_bytes());
    file.extend(9u32.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend(8u32.to_le_bytes());
    file.extend(2u64.to_le_bytes());
    file.extend([text("a"), text("longer")].concat());
    file.extend(
        [text("numbers"), 9u32.to_le_bytes().to_vec(), 2u32.to_le_bytes().to_vec()].concat(),
    );
    file.extend(3u64.to_le_bytes());
    file.extend([1; 6]);
    file.extend([text("truth"), 7u32.to_le_bytes().to_vec(), vec![1]].concat());
    file.extend(text("w"));
    file.extend(2u32.to_le_bytes());
    file.extend([5u64, 7].iter().flat_map(|n| n.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    let header = file.len();
    file.extend(weights());
    (file, header)
}

#[test]
fn headers_come_alone_and_files_keep_their_size() {
    let file = safetensors("BF16");
    let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    for cut in [None, Some(20)] {
        let got = skimmed("model.safetensors", &file, cut).unwrap();
        assert_eq!(got.len(), file.len());
        assert!(got[..header] == file[..header] && got[header..].iter().all(|byte| *byte == 0));
    }
    let (file, header) = gguf();
    let got = skimmed("model.gguf", &file, None).unwrap();
    assert_eq!(got.len(), file.len());
    assert!(got[..header] == file[..header] && got[header..].iter().all(|byte| *byte == 0));
}

#[test]
fn no_more_is_asked_for_than_headers_have() {
    // A header of 5 MB before 10 MB, so that the first few MB are not enough.
    let header = format!(
        r#"{{"w":{{"dtype":"F32","shape":[1],"data_offsets":[0,10000000]}}}}{}"#,
        " ".repeat(5_000_000)
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend(vec![7; 10_000_000]);
    let server = small_hub("model.safetensors", file.clone(), None);
    let folder = tempfile::tempdir().unwrap();
    skim(&remote(&server.url), &id("hf:org/name"), folder.path(), &|| false).unwrap();
    let got = fs::read(folder.path().join("model.safetensors")).unwrap();
    let end = 8 + header.len();
    assert!(got.len() == file.len() && got[..end] == file[..end]);
    assert!(got[end..].iter().all(|byte| *byte == 0));
    let asked = server.asked();
    let spans: Vec<_> = asked
        .iter()
        .filter(|asked| asked.method == "GET" && asked.path.ends_with("model.safetensors"))
        .map(|asked| (asked.range, asked.to))
        .collect();
    assert_eq!(spans, [(Some(0), Some((4 << 20) - 1)), (None, None)]);
}

#[test]
fn headers_that_say_too_little_or_nothing() {
    let codes = skimmed("model.safetensors", &safetensors("I32"), None).unwrap_err();
    says(&codes, "not-skimmed", "it is quantised");
    let torch = skimmed("pytorch_model.bin", b"PK", None).unwrap_err();
    says(&torch, "not-skimmed", "it is a file of PyTorch; --download fetches it");
    // What is no header is left to whoever reads it, as are sizes that no file has.
    for bytes in [vec![0xff; 64], b"<html><body>log in</body></html>".to_vec()] {
        assert_eq!(skimmed("model.safetensors", &bytes, None).unwrap().len(), bytes.len());
        assert_eq!(skimmed("model.gguf", &bytes, None).unwrap().len(), bytes.len());
    }
    let mut endless = gguf().0;
    endless[8..24].fill(0xff);
    says(
        &skimmed("model.gguf", &endless, None).unwrap_err(),
        "not-skimmed",
        "its header is too long",
    );
    // Somebody asks to stop.
    let (server, folder) = (small_hub("model.gguf", gguf().0, None), tempfile::tempdir().unwrap());
    let stopped = skim(&remote(&server.url), &id("hf:org/name"), folder.path(), &|| true);
    says(&stopped.unwrap_err(), "stopped", "interrupted");
}
