//! What keeps a page inert: blocks that cannot be closed from within, and a policy that runs ours alone.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest as _, Sha256};

/// JSON that can stand in a script block: no `<`, so that neither `</script>` nor `<!--` occurs, and none of
/// the two line separators that JSON has and old JavaScript lacks.
pub(crate) fn inert_json(json: &str) -> String {
    let mut inert = String::with_capacity(json.len() + json.len() / 64);
    for c in json.chars() {
        match c {
            '<' => inert.push_str("\\u003c"),
            '\u{2028}' => inert.push_str("\\u2028"),
            '\u{2029}' => inert.push_str("\\u2029"),
            c => inert.push(c),
        }
    }
    inert
}

/// The content security policy of a page with these scripts and this style, for its meta element.
///
/// * Nothing is loaded from anywhere: `default-src 'none'`.
/// * Only blocks whose hash is here run or style. Attributes (`onclick`, `style`) never do; `scripts/inert.js`
///   turns plotly's style attributes into properties.
/// * Plotly draws heat maps as images of its own making, and saves figures through them.
pub(crate) fn policy(scripts: &[&str], style: &str) -> String {
    let scripts: Vec<String> = scripts.iter().map(|block| source(block)).collect();
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data: blob:; base-uri 'none'; form-action 'none'",
        scripts.join(" "),
        source(style)
    )
}

/// A hash source: `'sha256-...'` of the text between a block's tags.
fn source(block: &str) -> String {
    format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(block.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_in_a_script_is_inert_and_the_same() {
        let value = "</script><!--\u{2028}\u{2029}<img src=x>";
        let json = serde_json::to_string(value).unwrap();
        let inert = inert_json(&json);
        assert!(!inert.contains('<') && !inert.contains('\u{2028}'), "{inert}");
        assert_eq!(serde_json::from_str::<String>(&inert).unwrap(), value);
    }

    #[test]
    fn hashes_are_those_of_browsers() {
        // The hash of nothing, as every browser prints it.
        assert_eq!(source(""), "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='");
    }
}
