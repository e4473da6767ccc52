//! Files of torch.save: pickles in a sound archive, in the legacy layout, and archives of any bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weightscope_testkit::torch::TestTorch;

/// The pickles before the object in the legacy layout: magic number, protocol version, facts about the system.
const LEGACY: &[u8] =
    b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";

fuzz_target!(|bytes: &[u8]| {
    // Plain changes die at the checksum of the layout, so most of the inputs have a sound one.
    let Some((first, rest)) = bytes.split_first() else { return };
    let file = match first % 4 {
        0 | 1 => {
            let archive = TestTorch::new(rest).member("m/data/0", &[1; 64]);
            archive.member("m/data/1", &[2; 24]).to_bytes()
        }
        2 => [LEGACY, rest].concat(),
        _ => [b"PK\x03\x04", rest].concat(),
    };
    weightscope_load::fuzzing::header(&file);
});
