//! Lines, tables and colours of a terminal page, for programs that print more than reports.
//!
//! Everything that is put on a page is made harmless first, as by [`crate::escape`].

pub use crate::grid::{Align, Grid, GridColumn, GridRow};
pub use crate::page::{Page, Span, Style, bold, dim, plain};
