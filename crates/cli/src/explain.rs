//! `ws-cli explain` and `ws-cli analyzers`.

use weightscope::report::{Topic, render_analyzers, render_explain};
use weightscope::{Descriptor, Registry, SIBLINGS};

use crate::args::{ColorArgs, ExplainArgs};
use crate::exit::Exit;
use crate::output;

pub(crate) fn run(args: &ExplainArgs, registry: &Registry) -> Exit {
    let descriptors = everything(registry);
    let options = output::render_options(args.color.color, usize::MAX, &descriptors);
    let mut text = String::new();
    for name in &args.names {
        match Topic::find(name, &descriptors) {
            Ok(topics) => {
                for topic in topics {
                    if !text.is_empty() {
                        text.push('\n');
                    }
                    text.push_str(&render_explain(&topic, &options));
                }
            }
            Err(error) => {
                output::complain(&error.to_string());
                return Exit::Usage;
            }
        }
    }
    output::print(&text)
}

pub(crate) fn list(args: ColorArgs, registry: &Registry) -> Exit {
    let descriptors = registry.descriptors();
    output::print(&render_analyzers(
        &descriptors,
        &output::render_options(args.color, usize::MAX, &descriptors),
    ))
}

/// The analyzers, and the judgements that belong to none of them.
fn everything(registry: &Registry) -> Vec<&Descriptor> {
    let mut descriptors = registry.descriptors();
    descriptors.push(&SIBLINGS);
    descriptors
}
