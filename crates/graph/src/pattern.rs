//! The patterns by which PEFT's configurations name modules: plain names, or regular expressions of Python.

use regex::{Regex, RegexBuilder};

/// Regular expressions that are compiled at most, and the memory that each may take: configurations have a few.
const MOST: usize = 256;
const SIZE: usize = 1 << 20;

/// Which modules a configuration means.
#[derive(Clone, Debug)]
pub(crate) enum Pattern {
    /// The end of a module's name, from a whole word on.
    End(String),
    /// What `re.match(rf"(.*\.)?({key})$", name)` matches, or `re.fullmatch(key, name)`.
    Expression(Regex),
}

impl Pattern {
    /// The module with this name, or one below it that ends so.
    pub(crate) fn end(name: &str) -> Self {
        Self::End(name.to_owned())
    }

    /// A key of `rank_pattern` or `alpha_pattern`, of which there are `others` before it; `None` when it is not
    /// understood.
    pub(crate) fn key(key: &str, others: usize) -> Option<Self> {
        if is_plain(key) {
            return Some(Self::end(key));
        }
        expression(&format!(r"^(?:.*\.)?(?:{key})$")).filter(|_| others < MOST)
    }

    /// `target_modules` where it is one text; `None` when it is not understood (Python has more than there is here:
    /// looking around, and back).
    pub(crate) fn whole(text: &str) -> Option<Self> {
        expression(&format!("^(?:{text})$"))
    }

    /// Whether it means the module `name`.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::End(end) => name
                .strip_suffix(end.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            Self::Expression(expression) => expression.is_match(name),
        }
    }
}

/// Whether a text means itself; a dot that means any character finds the same modules.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn expression(text: &str) -> Option<Pattern> {
    let built = RegexBuilder::new(text).size_limit(SIZE).dfa_size_limit(SIZE).build();
    built.ok().map(Pattern::Expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_mean_what_peft_means() {
        let check = |key: &str, name: &str, expected: bool| {
            assert_eq!(Pattern::key(key, 0).unwrap().matches(name), expected, "{key} {name}");
        };
        check("q_proj", "model.layers.0.self_attn.q_proj", true);
        check("q_proj", "q_proj", true);
        check("proj", "model.layers.0.self_attn.q_proj", false);
        check("layers.1.self_attn.q_proj", "model.layers.1.self_attn.q_proj", true);
        check("layers.1.self_attn.q_proj", "model.layers.11.self_attn.q_proj", false);
        check(r"model\.layers\.(0|1)\..*proj", "model.layers.1.mlp.up_proj", true);
        check(r"model\.layers\.(0|1)\..*proj", "model.layers.2.mlp.up_proj", false);
        check(r"^model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.q_proj", true);
        check(r"layers\.\d+\.self_attn\.[qk]_proj", "model.layers.12.self_attn.k_proj", true);
        // Only what begins with the name may begin so.
        check(r"^q_proj", "model.q_proj", false);
    }

    #[test]
    fn what_is_not_understood_is_none() {
        assert!(Pattern::key(r"(?!q)_proj", 0).is_none());
        assert!(Pattern::whole(r".*\.(?<=q)_proj").is_none());
        assert!(Pattern::key("(unclosed", 0).is_none());
        assert!(Pattern::key("[a-z]{1000}{1000}", 0).is_none());
        assert!(Pattern::key("a+", MOST).is_none());
        assert!(Pattern::whole(r".*\.(q|v)_proj").unwrap().matches("layers.0.v_proj"));
        assert!(!Pattern::whole(r"(q|v)_proj").unwrap().matches("layers.0.v_proj"));
    }
}
