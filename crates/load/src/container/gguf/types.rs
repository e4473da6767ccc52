//! The type numbers of ggml.

use weightscope_codec::BlockFormat;
use weightscope_core::DType;

use crate::container::Encoding;

/// What is behind a type number, and its name.
pub(super) fn encoding(id: u32) -> (Encoding, String) {
    if let Some((_, dtype)) = PLAIN.iter().find(|(known, _)| *known == id) {
        return (Encoding::Plain(*dtype), dtype.name().to_owned());
    }
    if let Some((_, name)) = BLOCKS.iter().find(|(known, _)| *known == id) {
        let encoding = BlockFormat::named(name).map_or(Encoding::Unknown, Encoding::Blocks);
        return (encoding, (*name).to_owned());
    }
    let name = REMOVED
        .iter()
        .find(|(known, _)| *known == id)
        .map_or_else(|| format!("type {id}"), |(_, name)| format!("removed type {id} ({name})"));
    (Encoding::Unknown, name)
}

const PLAIN: &[(u32, DType)] = &[
    (0, DType::F32),
    (1, DType::F16),
    (24, DType::I8),
    (25, DType::I16),
    (26, DType::I32),
    (27, DType::I64),
    (28, DType::F64),
    (30, DType::BF16),
];

const BLOCKS: &[(u32, &str)] = &[
    (2, "Q4_0"),
    (3, "Q4_1"),
    (6, "Q5_0"),
    (7, "Q5_1"),
    (8, "Q8_0"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (12, "Q4_K"),
    (13, "Q5_K"),
    (14, "Q6_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
    (42, "Q2_0"),
    // Of activations: ggml has the types and no file.
    (9, "Q8_1"),
    (15, "Q8_K"),
];

/// What old files may have and ggml reads no more.
const REMOVED: &[(u32, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_type_is_decoded() {
        for (id, name) in BLOCKS {
            let (encoding, spelled) = encoding(*id);
            let is_of_activations = matches!(*id, 9 | 15);
            assert_eq!(matches!(encoding, Encoding::Unknown), is_of_activations, "{name}");
            assert_eq!(spelled, *name);
        }
    }

    #[test]
    fn what_is_not_known_says_so() {
        for (id, name) in
            [(31, "removed type 31 (Q4_0_4_4)"), (97, "type 97"), (u32::MAX, "type 4294967295")]
        {
            let (encoding, spelled) = encoding(id);
            assert!(matches!(encoding, Encoding::Unknown));
            assert_eq!(spelled, name);
        }
    }
}
