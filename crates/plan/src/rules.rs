//! What is not to be quantised freely, and why.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use weightscope_core::{Kind, Part, Role};

use crate::{Scheme, Target};

/// A class of tensors that one rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Vectors: norms, biases, and everything else with fewer than two dimensions.
    Norm,
    /// Routers of experts.
    Router,
    /// Position tables.
    Position,
    /// Token and type embeddings.
    Embedding,
    /// Output heads.
    Head,
    /// Matrices whose role is not known.
    Other,
    /// Every other matrix.
    Matrix,
    /// What is stored and not trained.
    Buffer,
    /// Matrices of any of these that are already quantised, unless their rule is `auto`.
    Stored,
}

impl Class {
    /// Every class.
    pub const ALL: [Self; 9] = [
        Self::Stored,
        Self::Matrix,
        Self::Embedding,
        Self::Head,
        Self::Position,
        Self::Router,
        Self::Norm,
        Self::Other,
        Self::Buffer,
    ];

    /// Its name in a rule.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Norm => "norm",
            Self::Router => "router",
            Self::Position => "position",
            Self::Embedding => "embedding",
            Self::Head => "head",
            Self::Other => "other",
            Self::Matrix => "matrix",
            Self::Buffer => "buffer",
            Self::Stored => "stored",
        }
    }

    /// What it holds, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Norm => "vectors (norms, biases)",
            Self::Router => "routers",
            Self::Position => "position tables",
            Self::Embedding => "embeddings",
            Self::Head => "heads",
            Self::Other => "matrices of unknown role",
            Self::Matrix => "matrices",
            Self::Buffer => "buffers",
            Self::Stored => "weights already quantised",
        }
    }

    /// The class of a weight that is not quantised yet.
    pub fn of(role: Role, part: Part, matrix: Option<[u64; 2]>) -> Self {
        match Kind::of(role, part, matrix) {
            Kind::Buffer => Self::Buffer,
            _ if role == Role::Router => Self::Router,
            Kind::Vector => Self::Norm,
            _ if role == Role::Norm => Self::Norm,
            Kind::Position => Self::Position,
            Kind::Embedding => Self::Embedding,
            Kind::Head => Self::Head,
            // Small, and no tool quantises them.
            Kind::Factor => Self::Other,
            Kind::Matrix if role == Role::Other => Self::Other,
            Kind::Matrix => Self::Matrix,
        }
    }

    /// How it is treated unless a rule says otherwise, and why.
    pub const fn default_rule(self, target: Option<Target>) -> (How, &'static str) {
        match (self, target) {
            (Self::Norm, _) => (How::Keep, "small, and every output depends on them"),
            (Self::Router, _) => (How::Keep, "an error sends tokens to other experts"),
            (Self::Position, _) => (How::Keep, "looked up, never multiplied"),
            (Self::Buffer, _) => (How::Keep, "not trained"),
            (Self::Stored, _) => {
                (How::Keep, "already quantised; another rounding would come on top of the first")
            }
            (Self::Embedding | Self::Head, Some(Target::CompressedTensors)) => {
                (How::Keep, "compressed-tensors is about the Linear modules between them")
            }
            (Self::Embedding, Some(Target::BitsAndBytes)) => {
                (How::Keep, "bitsandbytes replaces Linear modules only")
            }
            (Self::Head, Some(Target::BitsAndBytes)) => {
                (How::Keep, "bitsandbytes skips the head unless told otherwise")
            }
            (Self::Embedding, _) => (How::Min8, "rare tokens have their row and nothing else"),
            (Self::Head, _) => (How::Min8, "its error is the error of the answer"),
            (Self::Other | Self::Matrix, _) => (How::Auto, ""),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How a class is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Stays as it is stored.
    Keep,
    /// Any allowed scheme.
    Auto,
    /// Schemes of at least 8 bits per weight.
    Min8,
    /// This scheme.
    Only(Scheme),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Keep => "keep",
            Self::Auto => "auto",
            Self::Min8 => "min8",
            Self::Only(scheme) => scheme.name(),
        })
    }
}

impl Serialize for How {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A rule of the user's: `embedding=keep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is about.
    pub class: Class,
    /// How it is treated.
    pub how: How,
}

impl Rule {
    /// The scheme that it names.
    pub const fn scheme(&self) -> Option<Scheme> {
        if let How::Only(scheme) = self.how { Some(scheme) } else { None }
    }
}

/// A text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// No `=`.
    #[error("\"{text}\" is no rule; write WHAT=HOW, such as embedding=keep")]
    Form {
        /// The text.
        text: String,
    },
    /// No such class.
    #[error("\"{name}\" is nothing that rules are about; there are {}", Class::ALL.map(Class::name).join(", "))]
    Class {
        /// The name.
        name: String,
    },
    /// No such treatment.
    #[error("\"{name}\" says not how; write keep, auto, min8 or a scheme: {}", Scheme::ALL.map(Scheme::name).join(", "))]
    How {
        /// The name.
        name: String,
    },
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (what, how) =
            text.split_once('=').ok_or_else(|| RuleError::Form { text: text.to_owned() })?;
        let class = Class::ALL.into_iter().find(|class| class.name() == what);
        let class = class.ok_or_else(|| RuleError::Class { name: what.to_owned() })?;
        let how = match how {
            "keep" => How::Keep,
            "auto" => How::Auto,
            "min8" => How::Min8,
            scheme => {
                How::Only(scheme.parse().map_err(|_| RuleError::How { name: scheme.to_owned() })?)
            }
        };
        Ok(Self { class, how })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule: Rule = "embedding=gguf_q8_0".parse().unwrap();
        assert_eq!(rule, Rule { class: Class::Embedding, how: How::Only(Scheme::GgufQ8_0) });
        assert_eq!("norm=keep".parse::<Rule>().unwrap().how, How::Keep);
        let error = |text: &str| text.parse::<Rule>().unwrap_err().to_string();
        assert!(error("norm").contains("WHAT=HOW"));
        assert!(error("norms=keep").contains("there are stored, matrix, embedding"));
        assert!(error("norm=q8").contains("\"q8\" says not how"));
    }

    #[test]
    fn classes() {
        let matrix = Some([64, 64]);
        let class = |role, part, matrix| Class::of(role, part, matrix);
        assert_eq!(class(Role::Router, Part::Weight, matrix), Class::Router);
        assert_eq!(class(Role::AttentionQ, Part::Bias, None), Class::Norm);
        assert_eq!(class(Role::Head, Part::Weight, matrix), Class::Head);
        assert_eq!(class(Role::Other, Part::Weight, matrix), Class::Other);
        assert_eq!(class(Role::MlpUp, Part::Weight, matrix), Class::Matrix);
        assert_eq!(class(Role::Other, Part::Buffer, matrix), Class::Buffer);
    }
}
