//! What there is to say about a finding, a metric, a weight.

use ratatui::style::Style;
use ratatui::text::Span;
use weightscope::report::{escape, pieces};
use weightscope::{Finding, ReferenceKind, Value, WeightRecord, WeightStatus};

use super::data::Data;
use super::text::Text;
use super::theme::{Theme, symbol};

/// Column at which facts begin.
const HANG: usize = 11;

fn fact(text: &mut Text, label: &'static str, value: &str, theme: Theme) {
    text.labelled(&[Span::styled(label, theme.dim())], HANG, value, Style::new());
}

/// A finding: what was seen, what it means, what to do. `named`: with the weight's name.
pub(super) fn finding(text: &mut Text, data: &Data, finding: &Finding, named: bool, theme: Theme) {
    let severity = finding.severity;
    let known = if finding.known { "  (known)" } else { "" };
    let mark = format!("{} {severity}", symbol(severity));
    let hang = pieces::width(&mark) + 2;
    let mark = Span::styled(mark, theme.severity(severity));
    text.labelled(&[mark], hang, &format!("{}{known}", finding.code), theme.bold());
    if named {
        let weight = finding.weight.as_deref().unwrap_or("the model as a whole");
        text.plain(weight);
    }
    text.blank();
    text.plain(&finding.message);
    if !finding.advice.is_empty() {
        text.blank();
        let arrow = Span::styled("→", theme.accent());
        text.labelled(&[arrow], 2, &finding.advice, Style::new());
    }
    text.blank();
    if let Some(value) = finding.value {
        fact(text, "value", &format!("{}  {}", pieces::number(value), finding.metric), theme);
    }
    if let Some(threshold) = finding.threshold {
        fact(text, "line", &pieces::number(threshold), theme);
    }
    if let Some(reference) = finding.reference {
        let kind = match reference.kind {
            ReferenceKind::Gaussian => "random weights of the shape",
            ReferenceKind::Siblings => "its siblings' median",
            ReferenceKind::Limit => "a fixed limit",
        };
        let value =
            reference.value.map_or_else(String::new, |v| format!("{}  ", pieces::number(v)));
        fact(text, "held to", &format!("{value}{kind}"), theme);
    }
    if let Some(meaning) = data.meaning(&finding.code) {
        text.blank();
        text.labelled(&[Span::styled("meaning", theme.dim())], HANG, meaning.doc, Style::new());
    }
}

/// A metric of a weight: its value, what it is, and how its siblings stand.
pub(super) fn metric(
    text: &mut Text,
    data: &Data,
    place: usize,
    analyzer: &str,
    key: &str,
    siblings: &[(f64, f64)],
    theme: Theme,
) {
    let Some(weight) = data.weight(place) else { return };
    text.plain_bold(&format!("{analyzer}.{key}"));
    text.blank();
    let spec = data.metric(analyzer, key);
    let unit = spec.map_or("", |s| s.unit);
    match weight.analyses.get(analyzer).and_then(|m| m.get(key)) {
        Some(Value::Null) | None => {
            let name = format!("{analyzer}.{key}");
            let why = weight.undefined.get(name.as_str()).map_or("not measured", String::as_str);
            fact(text, "none", why, theme);
        }
        Some(value) => {
            fact(text, "value", format!("{} {unit}", pieces::value(value)).trim(), theme);
        }
    }
    if siblings.len() > 1 {
        let mut values: Vec<f64> = siblings.iter().map(|(_, v)| *v).collect();
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or(0.0);
        let middle = f64::midpoint(at((values.len() - 1) / 2), at(values.len() / 2));
        let [low, middle, high] = [at(0), middle, at(values.len() - 1)].map(pieces::number);
        let count = values.len();
        fact(
            text,
            "siblings",
            &format!("median {middle}, {low} to {high} ({count} of {})", weight.role),
            theme,
        );
    }
    text.blank();
    match spec {
        Some(spec) => text.plain(spec.doc),
        None => text.dim("this program does not know what it means: another one measured it"),
    }
}

/// A weight: what it is, and what was found on it.
pub(super) fn weight(text: &mut Text, data: &Data, place: usize, theme: Theme) {
    let Some(weight) = data.weight(place) else { return };
    text.plain_bold(&weight.name);
    text.dim(&line(weight));
    if let Some(other) = &weight.other {
        fact(text, "against", other, theme);
    }
    if let Some(form) = pieces::stored_form(weight) {
        fact(text, "stored as", &form, theme);
    }
    let parts = pieces::stored_parts(weight);
    if !parts.is_empty() {
        fact(text, "parts", &parts.join(", "), theme);
    }
    if let Some(reason) = &weight.reason {
        text.blank();
        fact(text, weight_status(weight), reason, theme);
    }
    let findings = data.findings_of(place);
    text.blank();
    if findings.is_empty() && weight.status != WeightStatus::Ok {
        text.dim("not looked into");
    } else if findings.is_empty() {
        text.paragraph("✓ no findings", theme.good());
    }
    for finding in findings.iter().filter_map(|f| data.finding(*f)) {
        let mark = Span::styled(symbol(finding.severity), theme.severity(finding.severity));
        text.labelled(&[mark], 2, &finding.code, theme.bold());
        text.labelled(&[], 2, &finding.message, Style::new());
    }
}

const fn weight_status(weight: &WeightRecord) -> &'static str {
    match weight.status {
        WeightStatus::Ok => "measured",
        WeightStatus::Skipped => "skipped",
        WeightStatus::Failed => "failed",
    }
}

/// `attention_qkv, decoder block 3, 96 x 32 F32, 3,072 parameters`
pub(super) fn line(weight: &WeightRecord) -> String {
    let mut facts = vec![weight.role.name().to_owned()];
    if weight.part.name() != "weight" {
        facts.push(weight.part.name().to_owned());
    }
    if let Some(block) = weight.block {
        let stack = weight.stack.map_or_else(String::new, |s| format!("{s} "));
        facts.push(format!("{stack}block {block}"));
    }
    if let Some(expert) = weight.expert {
        facts.push(format!("expert {expert}"));
    }
    let stored = weight.stored_type();
    let stored = escape::terminal_within(&stored, 30);
    facts.push(format!("{} {stored}", pieces::shape(&weight.shape)));
    if weight.transposed {
        facts.push("stored [in, out]".to_owned());
    }
    if let Some(heads) = weight.heads {
        facts.push(format!("{} heads of {}", heads.query, heads.head_dim));
    }
    if weight.parameters > 0 {
        facts.push(pieces::plural(weight.parameters, "parameter"));
    }
    facts.join(", ")
}
