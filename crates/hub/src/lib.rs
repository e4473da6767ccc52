//! Models by id: from `org/name@revision` to the files of it that lie in a cache on this machine.
//!
//! Three kinds of names are understood, see [`Name::parse`]: ids of the Hugging Face hub (`org/name`, with `hf:` before
//! it where no path can be meant), a file of such a model (`org/name/model-Q4_K_M.gguf`), and `ollama:NAME`. Where
//! caches lie is a matter of the environment, which the caller reads and hands in as [`Places`]. Nothing here reads the
//! environment.
//!
//! ```
//! use weightscope_hub::{Name, Places};
//!
//! // The same layout that huggingface_hub keeps.
//! let cache = tempfile::tempdir()?;
//! let commit = "0123456789abcdef0123456789abcdef01234567";
//! let model = cache.path().join("models--org--name");
//! std::fs::create_dir_all(model.join("refs"))?;
//! std::fs::write(model.join("refs/main"), commit)?;
//! std::fs::create_dir_all(model.join("snapshots").join(commit))?;
//!
//! let places = Places { hub: Some(cache.path().to_owned()), ..Places::default() };
//! let name = Name::parse("org/name")?.ok_or("not an id")?;
//! let found = places.find(&name)?;
//! assert_eq!(found.path, model.join("snapshots").join(commit));
//! assert_eq!(found.label, "org/name (commit 0123456789ab)");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Names are checked before they become paths: no id, revision, file or digest leads out of its cache.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::unwrap_used
    )
)]

mod cache;
#[cfg(feature = "net")]
mod choice;
#[cfg(feature = "net")]
mod download;
mod error;
#[cfg(feature = "net")]
mod fetch;
mod name;
mod ollama;
mod places;
#[cfg(feature = "net")]
mod remote;
#[cfg(feature = "net")]
mod skim;

pub use error::HubError;
#[cfg(feature = "net")]
pub use fetch::{Event, fetch};
pub use name::{ModelId, Name, OllamaName};
pub use places::{Found, Places};
#[cfg(feature = "net")]
pub use remote::Remote;
#[cfg(feature = "net")]
pub use skim::skim;
