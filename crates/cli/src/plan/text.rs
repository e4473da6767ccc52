//! A plan as text for a terminal.

use std::collections::BTreeMap;

use weightscope::plan::{Class, Goal, How, Plan, PlannedTensor, Uniform, blocks};
use weightscope::report::pieces::{bytes, count, number, plural, short_count};
use weightscope::report::text::{
    Align, Grid, GridColumn, GridRow, Page, Span, Style, bold, dim, plain,
};

/// Column at which facts begin.
const FACTS: usize = 14;
/// Schemes for all that are listed beside the plan.
const UNIFORM: usize = 10;
/// Lines of the picture over depth; more blocks are gathered.
const DEPTH: usize = 40;

pub(super) fn render(plan: &Plan, width: usize, color: bool) -> String {
    let mut page = Page::new(width, color);
    let about = format!("{}, {} parameters", plan.family, short_count(plan.parameters));
    page.title(&plan.source, &[dim(about)]);
    if let Some(warning) = plan.warning() {
        page.text(0, &[Span::new(Style::Red, warning)]);
    }
    for sentence in &plan.already() {
        page.text(0, &[Span::new(Style::Yellow, sentence.clone())]);
    }
    page.blank();
    facts(&mut page, plan);
    uniform(&mut page, plan);
    roles(&mut page, plan);
    depth(&mut page, plan);
    rules(&mut page, plan);
    page.finish()
}

fn fact(page: &mut Page, name: &str, value: &[Span]) {
    page.flow(&[plain("  "), dim(name)], FACTS, value);
}

fn bits(bits: f64) -> String {
    format!("{bits:.2}")
}

fn facts(page: &mut Page, plan: &Plan) {
    let whom = match plan.target {
        None => plain(
            "no program: none loads a mixture of these schemes; --for TOOL makes a plan for one",
        ),
        Some(target) if plan.target_reason.is_empty() => plain(target.name()),
        Some(target) => {
            plain(format!("{target}: {}; --for names another tool", plan.target_reason))
        }
    };
    fact(page, "for", &[whom]);
    let (before, after) = (plan.before, plan.after);
    fact(
        page,
        "size",
        &[
            plain(format!("{} → ", bytes(before.bytes))),
            bold(bytes(after.bytes)),
            plain(format!(
                ", {} → {} bits per weight",
                bits(before.bits_per_weight),
                bits(after.bits_per_weight)
            )),
        ],
    );
    let goal = match (plan.goal, plan.budget) {
        (Goal::MinSqnr(db), _) => Some(format!("at least {db} dB for every weight")),
        (Goal::BitsPerWeight(wanted), Some(budget)) => {
            Some(format!("{wanted} bits per weight, {}", bytes(budget)))
        }
        (_, Some(budget)) => Some(bytes(budget)),
        (_, None) => None,
    };
    if let Some(goal) = goal {
        fact(page, "wanted", &[plain(goal)]);
    }
    if plan.error > 0.0 {
        let mut error =
            vec![bold(number(plan.error)), plain(", the relative errors of all weights added up")];
        error.extend(certainty(plan));
        fact(page, "error", &error);
        let limits = "it tells well which format suits a weight, and badly which weight needs the bits: models do \
                      not count all weights alike, so compare answers before you choose";
        fact(page, "", &[dim(limits)]);
    } else {
        fact(page, "error", &[bold("none"), plain(": every weight stays as it is")]);
    }
    for note in &plan.notes {
        fact(page, "note", &[Span::new(Style::Yellow, note.clone())]);
    }
}

/// How far from the optimum it can be.
fn certainty(plan: &Plan) -> Vec<Span> {
    match (plan.bound, plan.gap) {
        (Some(bound), Some(gap)) if gap > plan.error * 1e-9 => {
            let share = 100.0 * gap / plan.error;
            let share = if share < 0.01 { "<0.01".to_owned() } else { format!("{share:.2}") };
            let bound = format!("; no plan of this size has less than {}, ", number(bound));
            vec![plain(bound), plain(format!("{share} %")).solid(), plain(" below")]
        }
        (Some(_), _) => vec![plain("; no plan of this size has less")],
        _ => Vec::new(),
    }
}

/// The plan beside one scheme for all.
fn uniform(page: &mut Page, plan: &Plan) {
    if plan.uniform.is_empty() {
        return;
    }
    page.section("One scheme for all", "where rules allow it");
    let mut listed: Vec<&Uniform> = plan.uniform.iter().collect();
    // Those that fit by error, then the others by size.
    listed.sort_by(|a, b| match (a.fits, b.fits) {
        (true, true) => a.error.total_cmp(&b.error),
        (false, false) => a.size.bytes.cmp(&b.size.bytes),
        (a, b) => b.cmp(&a),
    });
    let row = |name: &str, style, size: u64, bpw: f64, error: f64, remark: String| GridRow {
        mark: None,
        name: name.to_owned(),
        style,
        cells: vec![Some(bytes(size)), Some(bits(bpw)), Some(number(error)), Some(remark)],
    };
    let (after, error) = (plan.after, plan.error);
    let this =
        row("this plan", Style::Bold, after.bytes, after.bits_per_weight, error, String::new());
    let others = listed.iter().take(UNIFORM).map(|other| {
        let remark = if !other.fits {
            "too large".to_owned()
        } else if error > 0.0 && other.error > error && plan.budget.is_some() {
            let times = other.error / error;
            if times < 9.95 {
                format!("{times:.2} x the error")
            } else {
                format!("{times:.0} x the error")
            }
        } else {
            String::new()
        };
        let size = other.size;
        let name = other.scheme.name();
        row(name, Style::Plain, size.bytes, size.bits_per_weight, other.error, remark)
    });
    let rows = std::iter::once(this).chain(others).collect();
    let columns = [
        ("size", Align::Right),
        ("bits", Align::Right),
        ("error", Align::Right),
        ("", Align::Left),
    ];
    draw(page, "scheme", &columns, rows);
    if let Some(more) = listed.len().checked_sub(UNIFORM).filter(|more| *more > 0) {
        page.text(2, &[dim(format!("and {more} more, in -o plan.json"))]);
    }
}

fn draw(page: &mut Page, title: &'static str, columns: &[(&str, Align)], rows: Vec<GridRow>) {
    let column = |(rank, (title, align)): (usize, &(&str, Align))| GridColumn {
        title: (*title).to_owned(),
        align: *align,
        rank: rank as u8,
    };
    let columns = columns.iter().enumerate().map(column).collect();
    Grid { title, columns, rows }.draw(page);
}

/// What became of the tensors of each role.
fn roles(page: &mut Page, plan: &Plan) {
    // Vectors of every role are one line, after the matrices, and so are buffers.
    let place = |tensor: &PlannedTensor| match tensor.class {
        Class::Norm => (1, None),
        Class::Buffer => (2, None),
        _ => (0, Some(tensor.role)),
    };
    let mut parts: BTreeMap<_, Vec<&PlannedTensor>> = BTreeMap::new();
    for tensor in &plan.tensors {
        let form = (tensor.class == Class::Stored).then_some(tensor.dtype.as_str());
        parts.entry((place(tensor), tensor.scheme, form)).or_default().push(tensor);
    }
    page.section("Roles", "");
    let mut last = None;
    let rows = parts.iter().map(|((place, scheme, form), tensors)| {
        let name = match place {
            _ if last == Some(*place) => "",
            (_, Some(role)) => role.name(),
            (1, _) => "vectors",
            _ => "buffers",
        };
        last = Some(*place);
        let sum = |of: fn(&PlannedTensor) -> u64| tensors.iter().map(|t| of(t)).sum::<u64>();
        let (size, elements) = (sum(|t| t.bytes), sum(|t| t.elements));
        let error: f64 = tensors.iter().map(|t| t.error).sum();
        let bpw = size as f64 * 8.0 / elements.max(1) as f64;
        GridRow {
            mark: None,
            name: name.to_owned(),
            style: Style::Plain,
            cells: vec![
                Some(match (scheme, form) {
                    (Some(scheme), _) => scheme.name().to_owned(),
                    (None, Some(form)) => format!("kept {form}"),
                    (None, None) => "kept".to_owned(),
                }),
                Some(count(tensors.len() as u64)),
                Some(bytes(size)),
                Some(bits(bpw)),
                scheme.map(|_| number(error)),
            ],
        }
    });
    let rows = rows.collect();
    let columns = [
        ("scheme", Align::Left),
        ("tensors", Align::Right),
        ("size", Align::Right),
        ("bits", Align::Right),
        ("error", Align::Right),
    ];
    draw(page, "role", &columns, rows);
}

/// Bits per weight of every block, as bars.
fn depth(page: &mut Page, plan: &Plan) {
    let blocks = blocks(plan);
    if blocks.len() < 2 {
        return;
    }
    page.section("Depth", "bits per weight");
    // The first line is what lies outside of blocks, where there is something.
    let outside = usize::from(blocks.first().is_some_and(|b| b.name == "outside of blocks"));
    let (frame, blocks) = blocks.split_at(outside);
    let step = blocks.len().div_ceil(DEPTH).max(1);
    let lines: Vec<(String, f64, u64, f64)> = frame
        .chunks(1)
        .chain(blocks.chunks(step))
        .filter_map(|chunk| {
            let (first, last) = (chunk.first()?, chunk.last()?);
            let name = if chunk.len() == 1 {
                first.name.clone()
            } else {
                let end = last.name.rsplit(' ').next().unwrap_or("");
                format!("{} to {end}", first.name)
            };
            let sum = |of: fn(&weightscope::plan::Block) -> u64| chunk.iter().map(of).sum::<u64>();
            let (size, elements) = (sum(|b| b.bytes), sum(|b| b.elements));
            let error = chunk.iter().map(|b| b.error).sum();
            Some((name, size as f64 * 8.0 / elements.max(1) as f64, size, error))
        })
        .collect();
    let most = lines.iter().map(|(_, bits, ..)| *bits).fold(1.0, f64::max);
    let names = lines.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
    let numbers: Vec<(String, String, String)> = lines
        .iter()
        .map(|(_, bpw, size, error)| (bits(*bpw), bytes(*size), number(*error)))
        .collect();
    let widest =
        |of: fn(&(String, String, String)) -> usize| numbers.iter().map(of).max().unwrap_or(0);
    let (w_bits, w_size, w_error) =
        (widest(|n| n.0.len()), widest(|n| n.1.len()), widest(|n| n.2.len()));
    let narrow = 2 + names + 2 + 2 + w_bits + 2 + w_size;
    // Where space is short, the errors go first.
    let errors = 2 + "error ".len() + w_error;
    let errors = if narrow + errors + 12 <= page.width() { errors } else { 0 };
    let room = page.width().saturating_sub(narrow + errors).clamp(8, 48);
    for ((name, bpw, ..), (text, size, error)) in lines.iter().zip(&numbers) {
        let mut line = vec![
            plain(format!("  {name:names$}  ")),
            Span::new(Style::Blue, bar(bpw / most, room)),
            plain(format!("  {text:>w_bits$}  ")),
            dim(format!("{size:>w_size$}")),
        ];
        if errors > 0 {
            line.push(dim(format!("  error {error:>w_error$}")));
        }
        page.line(&line);
    }
}

/// A bar of `room` columns, filled to `share`, in eighths of a column.
fn bar(share: f64, room: usize) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (share.clamp(0.0, 1.0) * room as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if let Some(part) = EIGHTHS.get(eighths % 8).filter(|part| **part != ' ') {
        bar.push(*part);
    }
    let drawn = bar.chars().count();
    bar.push_str(&" ".repeat(room.saturating_sub(drawn)));
    bar
}

/// What was kept or limited, and by which rule.
fn rules(page: &mut Page, plan: &Plan) {
    page.section("Rules", "--rule WHAT=HOW changes one");
    let hang = 2
        + plan
            .rules
            .iter()
            .map(|r| r.class.name().len() + 1 + r.how.to_string().len())
            .max()
            .unwrap_or(0)
        + 2;
    for rule in &plan.rules {
        if rule.how == How::Auto && !rule.given {
            continue;
        }
        let label = format!("{}={}", rule.class, rule.how);
        let mut body = format!("{}, {}", plural(rule.tensors, "tensor"), bytes(rule.bytes));
        let why = if rule.given { "as you asked" } else { rule.reason };
        if !why.is_empty() {
            body.push_str(": ");
            body.push_str(why);
        }
        page.flow(&[plain("  "), bold(label)], hang, &[plain(body)]);
    }
    // What rules left free and was kept all the same.
    let mut kept: BTreeMap<&str, Vec<&PlannedTensor>> = BTreeMap::new();
    for tensor in plan.tensors.iter().filter(|t| t.scheme.is_none()) {
        let why = match tensor.limit.as_deref() {
            Some(rule) if rule.ends_with("=keep") => continue,
            // Rules and rows that leave other schemes left a choice.
            Some(why) if !tensor.open => why,
            _ => "what was asked for leaves it as it is",
        };
        kept.entry(why).or_default().push(tensor);
    }
    for (why, tensors) in kept {
        let size: u64 = tensors.iter().map(|t| t.bytes).sum();
        let first = tensors.first().map_or("", |t| t.name.as_str());
        let more = if tensors.len() > 1 { ", .." } else { "" };
        let body = format!(
            "{}, {}: {why} ({first}{more})",
            plural(tensors.len() as u64, "tensor"),
            bytes(size)
        );
        page.flow(&[plain("  "), bold("kept")], hang, &[plain(body)]);
    }
}
