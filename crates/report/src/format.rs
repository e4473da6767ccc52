//! The formats a report can be written in.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// How a report is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Text for a terminal.
    Table,
    /// Everything, for programs; the schema is [`crate::schema`].
    Json,
    /// For a pull request comment.
    Markdown,
    /// One row per weight, for spreadsheets and data frames.
    Csv,
    /// A page that sorts, zooms and searches, for people.
    Html,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Table, Self::Json, Self::Markdown, Self::Csv, Self::Html];

    /// The name users type.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Json => "json",
            Self::Markdown => "markdown",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// Whether it holds figures.
    pub const fn has_figures(self) -> bool {
        matches!(self, Self::Json | Self::Html)
    }

    /// The usual file ending.
    const fn ending(self) -> &'static str {
        match self {
            Self::Table => "txt",
            Self::Markdown => "md",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Html => "html",
        }
    }

    /// Further names and file endings.
    const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Table => &["txt"],
            Self::Markdown => &["md"],
            Self::Html => &["htm"],
            Self::Json | Self::Csv => &[],
        }
    }

    /// The format that a file's ending names: `.json`, `.md` or `.markdown`, `.csv`, `.txt`,
    /// `.html`.
    ///
    /// # Errors
    /// When there is no ending or an unknown one; the message says which there are.
    pub fn from_path(path: &Path) -> Result<Self, FormatError> {
        let shown = || crate::escape::terminal(&path.to_string_lossy()).into_owned();
        let Some(ending) = path.extension() else {
            return Err(FormatError::NoEnding { path: shown() });
        };
        let ending = ending.to_string_lossy().to_lowercase();
        let ending = match ending.as_str() {
            "table" => "",
            other => other,
        };
        ending.parse().map_err(|_| FormatError::UnknownEnding {
            path: shown(),
            nearest: nearest(ending).map(Format::ending),
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let known = Self::ALL.into_iter().find(|f| f.name() == text || f.aliases().contains(&text));
        known.ok_or_else(|| FormatError::Unknown {
            text: crate::escape::terminal(text).into_owned(),
            nearest: nearest(text).map(Self::name),
        })
    }
}

fn nearest(text: &str) -> Option<Format> {
    let names = Format::ALL.into_iter().flat_map(|f| {
        std::iter::once(f.name()).chain(f.aliases().iter().copied()).map(move |n| (f, n))
    });
    crate::nearest::nearest(text, names.map(|(f, name)| (name, f)))
}

/// A format that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// No such name.
    #[error("unknown format \"{text}\"{}; there are table, json, markdown, csv and html", hint(*nearest))]
    Unknown {
        /// What was asked for.
        text: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
    /// A file name without an ending.
    #[error("{path}: no ending says which format is wanted; use .html, .json, .md, .csv or .txt")]
    NoEnding {
        /// The file.
        path: String,
    },
    /// A file name whose ending is not known.
    #[error("{path}: unknown ending{}; use .html, .json, .md, .csv or .txt", hint_ending(*nearest))]
    UnknownEnding {
        /// The file.
        path: String,
        /// What may have been meant.
        nearest: Option<&'static str>,
    },
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |name| format!(", did you mean \"{name}\"?"))
}

fn hint_ending(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |ending| format!(", did you mean .{ending}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings() {
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        assert_eq!("md".parse(), Ok(Format::Markdown));
        for (path, format) in [
            ("out/report.json", Format::Json),
            ("R.MD", Format::Markdown),
            ("r.markdown", Format::Markdown),
            ("r.csv", Format::Csv),
            ("r.txt", Format::Table),
            ("r.html", Format::Html),
        ] {
            assert_eq!(Format::from_path(Path::new(path)), Ok(format));
        }
    }

    #[test]
    fn unknown_names_come_with_a_hint() {
        let message = |text: &str| text.parse::<Format>().unwrap_err().to_string();
        assert_eq!(
            message("jsn"),
            "unknown format \"jsn\", did you mean \"json\"?; there are table, json, markdown, csv and html"
        );
        assert_eq!(
            message("parquet"),
            "unknown format \"parquet\"; there are table, json, markdown, csv and html"
        );
        let path = |text: &str| Format::from_path(Path::new(text)).unwrap_err().to_string();
        assert_eq!(
            path("r.cvs"),
            "r.cvs: unknown ending, did you mean .csv?; use .html, .json, .md, .csv or .txt"
        );
        assert_eq!(path("r.table"), "r.table: unknown ending; use .html, .json, .md, .csv or .txt");
        assert_eq!(
            path("report"),
            "report: no ending says which format is wanted; use .html, .json, .md, .csv or .txt"
        );
    }
}
