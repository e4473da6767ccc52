//! Plans for bitsandbytes: the keyword arguments of `transformers.BitsAndBytesConfig`.
//!
//! It has one format for a model and a list of modules that keep their type: a module is left out when its name
//! begins or ends with an entry. `int8_channel` is the weight format of LLM.int8() (arXiv 2208.07339),
//! `nf4_b64` the one of QLoRA (arXiv 2305.14314) without double quantisation.

use serde::Serialize;

use crate::names::ascii;
use crate::plan::Plan;
use crate::{Class, Scheme};

#[derive(Debug, Default, Serialize)]
struct Arguments {
    load_in_8bit: bool,
    load_in_4bit: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    bnb_4bit_quant_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bnb_4bit_use_double_quant: Option<bool>,
    llm_int8_skip_modules: Vec<String>,
}

/// The arguments as JSON.
pub(crate) fn arguments(plan: &Plan) -> Result<String, serde_json::Error> {
    let mut arguments = Arguments::default();
    for (tensor, planned) in plan.stored.iter().zip(&plan.tensors) {
        match planned.scheme {
            Some(Scheme::Int8Channel) => arguments.load_in_8bit = true,
            Some(_) => {
                arguments.load_in_4bit = true;
                arguments.bnb_4bit_quant_type = Some("nf4");
                arguments.bnb_4bit_use_double_quant = Some(false);
            }
            None => {
                let may_be_linear = matches!(
                    tensor.class,
                    Class::Head | Class::Matrix | Class::Other | Class::Router
                );
                let module = tensor.module().filter(|_| may_be_linear && tensor.dimensions == 2);
                arguments.llm_int8_skip_modules.extend(module.map(str::to_owned));
            }
        }
    }
    // A list replaces what transformers leaves out by itself, which is the head that shares the embedding.
    if plan.tied_head {
        arguments.llm_int8_skip_modules.push("lm_head".to_owned());
    }
    Ok(ascii(&serde_json::to_string_pretty(&arguments)?) + "\n")
}
