//! Reports built by hand.

use std::borrow::Cow;

use indexmap::IndexMap;
use weightscope_core::{
    Confidence, Metrics, ModelSummary, Part, Report, ReportKind, Role, SchemaRecord, Settings,
    SourceRecord, Stack, Status, ToolRecord, Totals, Value, WeightRecord, WeightStatus,
};
use weightscope_plan::{Goal, Plan, Request};

/// Name, bits per weight and signal-to-noise ratio; none for a cast that overflows.
pub(crate) type Row = (&'static str, f64, Option<f64>);

/// What is measured of every matrix here.
pub(crate) const SCHEMES: [Row; 6] = [
    ("int8_channel", 8.125, Some(41.0)),
    ("int4_g128", 4.125, Some(17.0)),
    ("nf4_b64", 4.5, Some(20.0)),
    ("gguf_q8_0", 8.5, Some(45.0)),
    ("gguf_q4_0", 4.5, Some(20.5)),
    ("gguf_q5_0", 5.5, Some(26.0)),
];

/// Weights of a report in the making.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) weights: Vec<WeightRecord>,
    pub(crate) tied: Vec<(String, String)>,
}

impl Model {
    pub(crate) fn matrix(
        &mut self,
        name: &str,
        role: Role,
        block: Option<u32>,
        [out, input]: [u64; 2],
        rows: &[Row],
    ) {
        let mut record = record(name, role, Part::Weight, &[out, input]);
        record.matrix = Some([out, input]);
        record.block = block;
        record.stack = block.map(|_| Stack::Decoder);
        measure(&mut record, rows);
        self.weights.push(record);
    }

    pub(crate) fn expert(&mut self, stack: &str, expert: u32, shape: [u64; 2]) {
        self.matrix(&format!("{stack}#{expert}"), Role::MlpDown, Some(0), shape, &SCHEMES);
        let record = self.weights.last_mut().unwrap();
        stack.clone_into(&mut record.source_tensor);
        record.expert = Some(expert);
    }

    pub(crate) fn vector(&mut self, name: &str, block: Option<u32>, length: u64) {
        let mut record = record(name, Role::Norm, Part::Weight, &[length]);
        record.block = block;
        record.stack = block.map(|_| Stack::Decoder);
        self.weights.push(record);
    }

    pub(crate) fn buffer(&mut self, name: &str, shape: &[u64]) {
        self.weights.push(record(name, Role::Other, Part::Buffer, shape));
    }

    /// Adds to the ratios of each weight in turn.
    pub(crate) fn disturb(&mut self, decibels: &[f64]) {
        let matrices = self.weights.iter_mut().filter(|w| w.matrix.is_some());
        for (record, db) in matrices.zip(decibels.iter().cycle()) {
            let rows = SCHEMES.map(|(name, bits, sqnr)| (name, bits, sqnr.map(|s| s + db)));
            measure(record, &rows);
        }
    }

    pub(crate) fn report(&self) -> Report {
        let elements = |w: &WeightRecord| w.parameters;
        let copies: Vec<&str> = self.tied.iter().map(|(copy, _)| copy.as_str()).collect();
        let counted = self.weights.iter().filter(|w| !copies.contains(&w.name.as_str()));
        let model = ModelSummary {
            family: "llama".to_owned(),
            parameters: counted.map(elements).sum(),
            tied: self.tied.clone(),
            ..ModelSummary::default()
        };
        Report {
            schema: SchemaRecord::default(),
            tool: ToolRecord { name: "test".to_owned(), version: "0".to_owned() },
            kind: ReportKind::Scan,
            status: Status::Complete,
            sources: vec![SourceRecord {
                path: "model".to_owned(),
                format: "safetensors".to_owned(),
                ..SourceRecord::default()
            }],
            models: vec![model],
            settings: Settings::default(),
            weights: self.weights.clone(),
            findings: vec![],
            facts: vec![],
            conclusions: vec![],
            figures: vec![],
            errors: vec![],
            totals: Totals::default(),
            timings: None,
        }
    }
}

fn record(name: &str, role: Role, part: Part, shape: &[u64]) -> WeightRecord {
    let elements = shape.iter().product();
    WeightRecord {
        name: name.to_owned(),
        other: None,
        source_tensor: name.to_owned(),
        model: 0,
        role,
        part,
        stack: None,
        block: None,
        expert: None,
        dtype: "BF16".to_owned(),
        stored: None,
        shape: shape.to_vec(),
        matrix: None,
        transposed: false,
        heads: None,
        confidence: Confidence::Known,
        parameters: if part.is_parameter() { elements } else { 0 },
        status: WeightStatus::Ok,
        reason: None,
        analyses: IndexMap::new(),
        undefined: IndexMap::new(),
    }
}

fn measure(record: &mut WeightRecord, rows: &[Row]) {
    let row = |(name, bits, sqnr): &Row| {
        Value::map([
            ("scheme", Value::from(*name)),
            ("bits_per_weight", Value::from(*bits)),
            ("sqnr_db", sqnr.map_or(Value::Null, Value::from)),
            ("note", if sqnr.is_none() { "3 values beyond 65504".into() } else { Value::Null }),
        ])
    };
    let schemes = Value::List(rows.iter().map(row).collect());
    let metrics: Metrics = std::iter::once((Cow::Borrowed("schemes"), schemes)).collect();
    record.analyses.insert(Cow::Borrowed("quantization"), metrics);
}

/// A small Llama: q, k, v, o, gate, up, down a block, an untied table and norms.
pub(crate) fn layers(blocks: u32) -> Model {
    let mut model = Model::default();
    model.matrix("model.embed_tokens.weight", Role::TokenEmbedding, None, [512, 128], &SCHEMES);
    for block in 0..blocks {
        let mut add = |leaf: &str, role, shape| {
            model.matrix(
                &format!("model.layers.{block}.{leaf}.weight"),
                role,
                Some(block),
                shape,
                &SCHEMES,
            );
        };
        add("self_attn.q_proj", Role::AttentionQ, [128, 128]);
        add("self_attn.k_proj", Role::AttentionK, [64, 128]);
        add("self_attn.v_proj", Role::AttentionV, [64, 128]);
        add("self_attn.o_proj", Role::AttentionO, [128, 128]);
        add("mlp.gate_proj", Role::MlpGate, [384, 128]);
        add("mlp.up_proj", Role::MlpUp, [384, 128]);
        add("mlp.down_proj", Role::MlpDown, [128, 384]);
        model.vector(&format!("model.layers.{block}.input_layernorm.weight"), Some(block), 128);
    }
    model.vector("model.norm.weight", None, 128);
    model
}

pub(crate) fn request(goal: Goal) -> Request {
    Request {
        goal,
        target: None,
        target_reason: String::new(),
        schemes: vec![],
        rules: vec![],
        force: false,
    }
}

/// The error of a plan, from the ratios in the report.
pub(crate) fn error_of(plan: &Plan, model: &Model) -> f64 {
    let of = |name: &str, scheme: &str| {
        let record = model.weights.iter().find(|w| w.name == name).unwrap();
        let rows = record.metric("quantization", "schemes").unwrap().items();
        let row = rows.iter().find(|r| r.get("scheme").unwrap().as_str() == Some(scheme)).unwrap();
        10f64.powf(-row.get("sqnr_db").unwrap().as_f64().unwrap() / 10.0)
    };
    plan.tensors.iter().filter_map(|t| Some(of(&t.name, t.scheme?.name()))).sum()
}
