//! Plans as files for the tools that carry them out.

use crate::plan::Plan;
use crate::{Target, bitsandbytes, compressed_tensors, llama_cpp};

/// A file that a plan can be written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A shell script that runs llama-quantize.
    LlamaScript,
    /// What llama-quantize reads with `--tensor-type-file`.
    LlamaTypes,
    /// A recipe for llm-compressor, in YAML.
    Recipe,
    /// The `quantization_config` of compressed-tensors, in JSON.
    QuantizationConfig,
    /// Arguments of `transformers.BitsAndBytesConfig`, in JSON.
    BitsAndBytesConfig,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 5] = [
        Self::LlamaScript,
        Self::LlamaTypes,
        Self::Recipe,
        Self::QuantizationConfig,
        Self::BitsAndBytesConfig,
    ];

    /// The tool that reads it.
    pub const fn target(self) -> Target {
        match self {
            Self::LlamaScript | Self::LlamaTypes => Target::LlamaCpp,
            Self::Recipe | Self::QuantizationConfig => Target::CompressedTensors,
            Self::BitsAndBytesConfig => Target::BitsAndBytes,
        }
    }

    /// Endings of its files.
    pub const fn endings(self) -> &'static [&'static str] {
        match self {
            Self::LlamaScript => &["sh"],
            Self::LlamaTypes => &["txt"],
            Self::Recipe => &["yaml", "yml"],
            Self::QuantizationConfig | Self::BitsAndBytesConfig => &["json"],
        }
    }

    /// The form of `target`'s file with this ending.
    pub fn of(target: Target, ending: &str) -> Option<Self> {
        let ending = ending.to_ascii_lowercase();
        let is_it =
            |form: &Self| form.target() == target && form.endings().contains(&ending.as_str());
        Self::ALL.into_iter().find(is_it)
    }
}

/// Why a plan has no such file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The plan was made for another tool, or for none.
    #[error("the plan was not made for {target}")]
    Target {
        /// The tool of the file.
        target: Target,
    },
    /// A value that cannot be written; no plan has one.
    #[error("the plan cannot be written: {source}")]
    Write {
        /// Why.
        #[from]
        source: serde_json::Error,
    },
}

/// The text of a plan's file. It is ASCII, whatever the names of tensors are.
///
/// # Errors
/// [`ExportError::Target`] when the plan was made for another tool: its schemes would have no meaning there.
pub fn export(plan: &Plan, form: Form) -> Result<String, ExportError> {
    if plan.target != Some(form.target()) {
        return Err(ExportError::Target { target: form.target() });
    }
    Ok(match form {
        Form::LlamaScript => llama_cpp::script(plan),
        Form::LlamaTypes => llama_cpp::type_file(plan),
        Form::Recipe => compressed_tensors::recipe(plan),
        Form::QuantizationConfig => compressed_tensors::quantization_config(plan)?,
        Form::BitsAndBytesConfig => bitsandbytes::arguments(plan)?,
    })
}
