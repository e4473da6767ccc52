//! Asking a hub: where it is, who asks, which redirects are followed, and what its refusals mean.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode};
use ureq::{Agent, Body, Proxy};

use crate::{HubError, cache, places};

const ENDPOINT: &str = "https://huggingface.co";
/// So often something is tried that fails for a passing reason.
pub(crate) const TRIES: u32 = 5;
/// Longest rest that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);
const MOST_REDIRECTS: usize = 6;

/// A hub on the network, and how it is asked.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Without a slash at the end.
    endpoint: String,
    token: Option<Token>,
    offline: bool,
    pause: Duration,
    agent: Agent,
}

/// What proves who asks. Never shown.
#[derive(Clone)]
struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// Bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    /// The byte after the last; `None` is the end of the file.
    pub(crate) end: Option<u64>,
}

impl Span {
    pub(crate) const ALL: Self = Self { start: 0, end: None };

    pub(crate) fn from(start: u64) -> Self {
        Self { start, end: None }
    }
}

/// One answer, after redirects.
pub(crate) struct Answer {
    /// The last of the hub itself, before it sent us elsewhere.
    pub(crate) first: HeaderMap,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Remote {
    /// The hub that an environment says; `variable` looks one of its variables up.
    ///
    /// * `HF_ENDPOINT`, or <https://huggingface.co>.
    /// * The token: `HF_TOKEN`, `HUGGING_FACE_HUB_TOKEN`, or the file at `HF_TOKEN_PATH` or `HF_HOME/token`. It is sent
    ///   to the endpoint alone, and over plain HTTP to this machine alone.
    /// * `HF_HUB_OFFLINE` or `TRANSFORMERS_OFFLINE` as 1, ON, YES or TRUE: nothing is asked.
    /// * `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY`, and `NO_PROXY`.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Self {
        let text = |name: &str| {
            let value = variable(name)?.into_string().ok()?;
            Some(value.trim().to_owned()).filter(|value| !value.is_empty())
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(|| {
            let path = text("HF_TOKEN_PATH").map(PathBuf::from);
            let path = path.or_else(|| Some(places::hub_home(variable)?.join("token")))?;
            let bytes = path.is_file().then(|| cache::read_record(&path).ok())??;
            Some(String::from_utf8(bytes).ok()?.trim().to_owned())
        });
        let token =
            token.filter(|token| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()));
        let is_set = |name: &str| {
            text(name).is_some_and(|value| {
                ["1", "ON", "YES", "TRUE"].contains(&value.to_uppercase().as_str())
            })
        };
        let is_secret = endpoint.starts_with("https://") || is_here(&endpoint);
        Self {
            token: token.filter(|_| is_secret).map(Token),
            offline: is_set("HF_HUB_OFFLINE") || is_set("TRANSFORMERS_OFFLINE"),
            pause: Duration::from_secs(1),
            agent: agent(proxy(&endpoint, &text)),
            endpoint,
        }
    }

    /// Waits this long after the first failure that may pass, and longer after further ones; a second unless set.
    #[must_use]
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }

    /// Whether the environment forbids the network.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// Where it is.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Asks for bytes of what lies at `path` of the endpoint, again where a failure may pass. Redirects
    /// are followed: within the endpoint with the token, elsewhere without.
    pub(crate) fn get(&self, about: &str, path: &str, span: Span) -> Result<Answer, HubError> {
        let url = format!("{}{path}", self.endpoint);
        self.patiently(about, &|| self.ask(about, &url, span, false))
    }

    /// The same for the whole of an address of the endpoint.
    pub(crate) fn get_url(&self, about: &str, url: &str) -> Result<Answer, HubError> {
        self.patiently(about, &|| self.ask(about, url, Span::ALL, false))
    }

    /// What the hub itself says of what lies at `path`, before it sends anybody elsewhere.
    pub(crate) fn head(&self, about: &str, path: &str) -> Result<HeaderMap, HubError> {
        let url = format!("{}{path}", self.endpoint);
        self.patiently(about, &|| self.ask(about, &url, Span::ALL, true))
            .map(|answer| answer.headers)
    }

    fn patiently(
        &self,
        about: &str,
        ask: &dyn Fn() -> Result<Answer, HubError>,
    ) -> Result<Answer, HubError> {
        let mut tries = 1u32;
        loop {
            let (error, asked) = match ask() {
                Ok(answer) if !may_pass(answer.status) => {
                    return match answer.status.as_u16() {
                        200..=399 | 416 => Ok(answer),
                        _ => Err(self.refused(about, &answer)),
                    };
                }
                Ok(answer) => (self.refused(about, &answer), retry_after(&answer.headers)),
                Err(error) => return Err(error),
            };
            if tries >= TRIES || asked.is_some_and(|pause| pause > LONGEST_PAUSE) {
                return Err(error);
            }
            self.wait(tries, asked);
            tries = tries.saturating_add(1);
        }
    }

    /// Rests before another try.
    pub(crate) fn wait(&self, tries: u32, asked: Option<Duration>) {
        let own = self.pause.saturating_mul(1 << tries.saturating_sub(1).min(5));
        sleep(asked.unwrap_or(own).min(LONGEST_PAUSE));
    }

    /// Asks once. With `headers_only`, what sends elsewhere is the answer.
    fn ask(
        &self,
        about: &str,
        url: &str,
        span: Span,
        headers_only: bool,
    ) -> Result<Answer, HubError> {
        let (mut url, mut first, mut is_own) = (url.to_owned(), HeaderMap::new(), true);
        for _ in 0..MOST_REDIRECTS {
            let request = if headers_only { self.agent.head(&url) } else { self.agent.get(&url) };
            let mut request = request.header("Accept-Encoding", "identity");
            if let Some(Token(token)) = self.token.as_ref().filter(|_| is_own) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if span != Span::ALL {
                let end =
                    span.end.map_or_else(String::new, |end| end.saturating_sub(1).to_string());
                request = request.header("Range", format!("bytes={}-{end}", span.start));
            }
            let answer = request.call().map_err(|error| self.not_reached(about, &error))?;
            let (parts, body) = answer.into_parts();
            if is_own {
                first.clone_from(&parts.headers);
            }
            let (status, headers) = (parts.status, parts.headers);
            if !status.is_redirection() || status == StatusCode::NOT_MODIFIED {
                return Ok(Answer { first, status, headers, body });
            }
            let target = header(&headers, "location");
            let target = target.ok_or_else(|| unusable(about, "a redirect leads nowhere"))?;
            let is_within = target.starts_with('/') && !target.starts_with("//");
            if headers_only && !is_within {
                return Ok(Answer { first, status, headers, body });
            }
            if is_within {
                url = format!("{}{target}", origin(&url));
            } else {
                let is_open =
                    target.starts_with("http://") && self.endpoint.starts_with("https://");
                if is_open || !(target.starts_with("https://") || target.starts_with("http://")) {
                    return Err(unusable(about, "a redirect leads away from HTTPS"));
                }
                target.clone_into(&mut url);
                is_own = false;
            }
        }
        Err(unusable(about, "it redirects without an end"))
    }

    fn not_reached(&self, about: &str, error: &ureq::Error) -> HubError {
        // An address can hold a signature: only what is known to have none is shown.
        let why = match error {
            ureq::Error::Io(cause) => cause.to_string(),
            ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
            ureq::Error::HostNotFound => "there is no such host".to_owned(),
            ureq::Error::ConnectionFailed => "no connection".to_owned(),
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => "its address is none".to_owned(),
            ureq::Error::Protocol(_) => "its answer is no HTTP".to_owned(),
            ureq::Error::Rustls(cause) => format!("no secure connection: {cause}"),
            _ => "the connection failed".to_owned(),
        };
        HubError::NotReached { id: about.to_owned(), endpoint: self.endpoint.clone(), why }
    }

    /// What a status that is no success means.
    fn refused(&self, about: &str, answer: &Answer) -> HubError {
        let code = header(&answer.headers, "x-error-code").unwrap_or_default();
        let (endpoint, has_token) = (&self.endpoint, self.token.is_some());
        let why = match (answer.status.as_u16(), code) {
            (401 | 403, "GatedRepo") => format!(
                "its owner lets people in one by one: ask for access on its page at {endpoint}{}",
                if has_token { "" } else { ", and set HF_TOKEN" }
            ),
            (401, _) if !has_token => {
                "there is no such model, or it is private or gated and needs a token (HF_TOKEN)"
                    .to_owned()
            }
            (401, _) => {
                "there is no such model, or the token (HF_TOKEN) is not good for it".to_owned()
            }
            (403, _) if has_token => "the token (HF_TOKEN) is not good for it".to_owned(),
            (403, _) => "it needs a token (HF_TOKEN)".to_owned(),
            (404, "RevisionNotFound") => "the model has no such revision".to_owned(),
            (404, "EntryNotFound") => "the model has no such file".to_owned(),
            (404, _) => "there is no such model or revision".to_owned(),
            (429, _) => match retry_after(&answer.headers) {
                Some(pause) => {
                    format!("too many requests; it asks for {} s of rest", pause.as_secs())
                }
                None => "too many requests; try again later".to_owned(),
            },
            (500..=599, _) => "the server is in trouble; try again later".to_owned(),
            _ => "it gives no answer to this".to_owned(),
        };
        let (id, status) = (about.to_owned(), answer.status.as_u16());
        HubError::Refused { id, endpoint: endpoint.clone(), status, why }
    }
}

pub(crate) fn unusable(about: &str, why: &str) -> HubError {
    HubError::Unusable { id: about.to_owned(), why: why.to_owned() }
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn may_pass(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502..=504)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    header(headers, "retry-after")?.parse().ok().map(Duration::from_secs)
}

/// `https://host:port` of an address.
pub(crate) fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at.saturating_add(3));
    let end = url.get(start..).and_then(|rest| rest.find('/'));
    end.and_then(|end| url.get(..start.saturating_add(end))).unwrap_or(url)
}

/// Whether an address is of this machine.
fn is_here(url: &str) -> bool {
    let origin = origin(url);
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|name| {
        host.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    })
}

/// The proxy for an endpoint. This machine is reached without one.
fn proxy(endpoint: &str, text: &dyn Fn(&str) -> Option<String>) -> Option<Proxy> {
    let either = |name: &str| text(name).or_else(|| text(&name.to_lowercase()));
    let own = if endpoint.starts_with("https://") { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let address = either(own).or_else(|| either("ALL_PROXY")).filter(|_| !is_here(endpoint))?;
    let proxy = Proxy::new(&address).ok()?;
    let Some(without) = either("NO_PROXY") else { return Some(proxy) };
    let mut builder = Proxy::builder(proxy.protocol()).host(proxy.host()).port(proxy.port());
    if let Some(name) = proxy.username() {
        builder = builder.username(name);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    without.split(',').fold(builder, |builder, host| builder.no_proxy(host.trim())).build().ok()
}

fn agent(proxy: Option<Proxy>) -> Agent {
    let seconds = |n| Some(Duration::from_secs(n));
    let config = Agent::config_builder()
        .proxy(proxy)
        .max_redirects(0)
        .http_status_as_error(false)
        .user_agent(concat!("weightscope/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(seconds(30))
        .timeout_recv_response(seconds(60))
        .timeout_per_read(seconds(60));
    config.build().new_agent()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(variables: &[(&str, &str)]) -> Remote {
        Remote::from_environment(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn origins() {
        for (url, expected) in [
            ("https://a.b/c/d", "https://a.b"),
            ("http://a:80", "http://a:80"),
            ("http://a:80/", "http://a:80"),
        ] {
            assert_eq!(origin(url), expected);
        }
        assert!(is_here("http://127.0.0.1:8000/x") && is_here("http://localhost"));
        assert!(
            !is_here("http://127.0.0.1.evil.example") && !is_here("http://localhost.example:1")
        );
    }

    #[test]
    fn tokens_are_trimmed_hidden_and_kept_from_open_lines() {
        let token = |remote: &Remote| remote.token.as_ref().map(|token| token.0.clone());
        let own = remote(&[("HF_TOKEN", " hf_secret\n")]);
        assert_eq!(token(&own).as_deref(), Some("hf_secret"));
        assert!(!format!("{own:?}").contains("hf_secret"));
        assert_eq!(own.endpoint(), ENDPOINT);
        let second = remote(&[("HF_TOKEN", ""), ("HUGGING_FACE_HUB_TOKEN", "hf_2")]);
        assert_eq!(token(&second).as_deref(), Some("hf_2"));
        let mirror =
            remote(&[("HF_ENDPOINT", "http://mirror.example/"), ("HF_TOKEN", "hf_secret")]);
        assert_eq!((token(&mirror), mirror.endpoint()), (None, "http://mirror.example"));
        assert_eq!(token(&remote(&[("HF_TOKEN", "two words")])), None);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "hf_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(token(&remote(&[("HF_HOME", home)])).as_deref(), Some("hf_file"));
        let named = remote(&[("HF_TOKEN_PATH", path.to_str().unwrap())]);
        assert_eq!(token(&named).as_deref(), Some("hf_file"));
    }

    #[test]
    fn offline_is_a_word_of_consent() {
        for (value, offline) in
            [("1", true), ("yes", true), ("TRUE", true), ("0", false), ("", false)]
        {
            assert_eq!(remote(&[("HF_HUB_OFFLINE", value)]).is_offline(), offline, "{value}");
            assert_eq!(remote(&[("TRANSFORMERS_OFFLINE", value)]).is_offline(), offline, "{value}");
        }
    }
}
