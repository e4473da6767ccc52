//! The report as a page: one file that opens from disk, asks nothing of the network, and sorts, zooms and
//! searches.
//!
//! What can be said in words and tables stands in the page itself, laid out by the templates here; scripts add
//! figures, a table of all weights and a page for each. They read one block of JSON.

mod data;
mod figures;
mod layout;
mod metrics;
mod page;
mod round;
mod schemes;
mod security;
mod settings;

use minijinja::value::Serde;
use minijinja::{Environment, Value, context};
use serde_json::Value as Json;
use weightscope_core::{Figure, Report};

use crate::numbers::grouped;
use crate::overview::COMMAND;
use crate::{RenderError, RenderOptions, escape};

/// plotly.js for plots in two dimensions, as its makers publish it; `cargo xtask vendor` renews it.
const PLOTLY: &str = include_str!("../../vendor/plotly/plotly-cartesian.min.js");
/// Element that keeps plotly from adding the style sheet of its maps, which this bundle lacks.
const PLOTLY_MODULE_STYLE: &str =
    "9f215cf04c5486422605d13261cb87401f4e7763b6296af81e98efbc0130da53";

const STYLE: &str = concat!(include_str!("style.css"), include_str!("plotly.css"));

/// What every page needs to draw.
macro_rules! drawing_scripts {
    () => {
        concat!(
            include_str!("scripts/inert.js"),
            include_str!("scripts/dom.js"),
            include_str!("scripts/numbers.js"),
            include_str!("scripts/theme.js"),
            include_str!("scripts/draw.js"),
            include_str!("scripts/plots.js"),
        )
    };
}

/// The scripts of a report. One scope holds them all, so that a module is a file and nothing else.
const REPORT_SCRIPT: &str = concat!(
    "(() => {\n'use strict';\n",
    drawing_scripts!(),
    include_str!("scripts/report_data.js"),
    include_str!("scripts/map.js"),
    include_str!("scripts/table.js"),
    include_str!("scripts/sortable.js"),
    include_str!("scripts/weight.js"),
    include_str!("scripts/dashboards.js"),
    include_str!("scripts/report.js"),
    "})();\n"
);

/// The scripts of a page of figures.
const FIGURES_SCRIPT: &str = concat!(
    "(() => {\n'use strict';\n",
    drawing_scripts!(),
    include_str!("scripts/figures.js"),
    "})();\n"
);

/// Longest text of a page, in characters; longer than any definition, and no name is worth more.
const LONGEST_TEXT: usize = 4000;

const TEMPLATES: [(&str, &str); 9] = [
    ("report.html", include_str!("report.html")),
    ("overview.html", include_str!("overview.html")),
    ("findings.html", include_str!("findings.html")),
    ("conclusions.html", include_str!("conclusions.html")),
    ("architecture.html", include_str!("architecture.html")),
    ("schemes.html", include_str!("schemes.html")),
    ("weights.html", include_str!("weights.html")),
    ("definitions.html", include_str!("definitions.html")),
    ("figures.html", include_str!("figures.html")),
];

pub(crate) fn render(report: &Report, options: &RenderOptions<'_>) -> Result<String, RenderError> {
    let title = title(report);
    let data = data::data(report, &title, options);
    let data = serde_json::to_string(&data).map_err(RenderError::new)?;
    let context = context! {
        page => Serde(page::page(report, &title, options)),
        layout => Serde(layout::layout(report)),
        schemes => Serde(schemes::schemes(report)),
        listing => Serde(settings::weights(report, options)),
        settings => Serde(settings::settings(report, options)),
        command => COMMAND,
        finding_count => grouped(report.findings.len() as u64),
        error_count => grouped(report.errors.len() as u64),
        weight_count => grouped(report.weights.len() as u64),
        ..frame(REPORT_SCRIPT, &data)
    };
    fill("report.html", context)
}

/// A page of figures alone: standing by itself, inert and complete, like the HTML report.
///
/// * `figures`: drawn in this order, every point, with nine significant digits.
/// * `title`: heading of the page; any text, shown literally.
/// * The same input gives the same bytes.
///
/// # Errors
/// As [`crate::render`]: none that a figure of a finished run causes.
pub fn render_figure_page(figures: &[Figure], title: &str) -> Result<String, RenderError> {
    let title = escape::terminal(title);
    let drawn: Vec<Json> = figures
        .iter()
        .filter_map(|figure| {
            let mut json = figures::encode_exact(figure)?;
            let of = figure.weight.as_deref().map(escape::terminal);
            json.as_object_mut()?.insert("of".to_owned(), Json::from(of));
            Some(json)
        })
        .collect();
    let data = serde_json::json!({ "title": title, "figures": drawn }).to_string();
    let context = context! {
        title => title.as_ref(),
        count => figures.len(),
        ..frame(FIGURES_SCRIPT, &data)
    };
    fill("figures.html", context)
}

/// What both kinds of pages have.
fn frame(script: &str, data: &str) -> Value {
    context! {
        policy => security::policy(&[PLOTLY, script], STYLE),
        style => STYLE,
        plotly => PLOTLY,
        script => script,
        data => security::inert_json(data),
        plotly_module_style => PLOTLY_MODULE_STYLE,
    }
}

/// Fills a template. Texts are escaped, and their hidden characters spelled out; only what the templates
/// themselves mark as safe is not: our own style and scripts, and the inert data.
fn fill(template: &str, context: Value) -> Result<String, RenderError> {
    let mut environment = Environment::new();
    environment.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => {
            let shown = escape::terminal_within(text, LONGEST_TEXT);
            minijinja::escape_formatter(out, state, &Value::from(shown.as_ref()))
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    for (name, source) in TEMPLATES {
        environment.add_template(name, source).map_err(RenderError::new)?;
    }
    let template = environment.get_template(template).map_err(RenderError::new)?;
    template.render(context).map_err(RenderError::new)
}

/// The last part of a path: a page that is passed on says nothing of where its maker keeps files.
fn last_part(path: &str) -> &str {
    let short = path.trim_end_matches(['/', '\\']);
    short.rsplit(['/', '\\']).next().filter(|name| !name.is_empty()).unwrap_or(path)
}

/// The models' names.
fn title(report: &Report) -> String {
    let names = report.sources.iter().map(|source| last_part(&source.path));
    let names = names.collect::<Vec<_>>().join(" and ");
    let names = if names.is_empty() { "report" } else { names.as_str() };
    escape::terminal(&format!("{names} · WeightScope")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_can_stand_in_a_page() {
        for script in [PLOTLY, REPORT_SCRIPT, FIGURES_SCRIPT] {
            let script = script.to_lowercase();
            assert!(!script.contains("</script") && !script.contains("<!--"), "a block ends early");
            assert!(!script.contains('\r'), "browsers would hash another text");
        }
        assert!(!STYLE.contains('<') && !STYLE.contains('\r'));
    }

    #[test]
    fn our_scripts_make_no_markup_of_texts() {
        for script in [REPORT_SCRIPT, FIGURES_SCRIPT] {
            for word in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
            ] {
                assert!(!script.contains(word), "{word}");
            }
        }
    }

    #[test]
    fn plotly_still_leaves_its_style_sheets_out() {
        assert!(PLOTLY.contains(PLOTLY_MODULE_STYLE));
        assert!(PLOTLY.contains("\"plotly.js-style-\"") && PLOTLY.contains(".no-inline-styles"));
    }
}
