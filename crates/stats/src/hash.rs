//! A fingerprint of stored bytes.

use twox_hash::XxHash3_128;

/// Hashes a tensor's stored bytes as they stream by, to find tied and duplicated tensors.
///
/// XXH3-128, which is fast and has no known accidental collisions, but is not cryptographic: equal
/// fingerprints of hostile files can be forged, so they are evidence of duplication, not proof of origin.
#[derive(Clone)]
pub struct ContentHasher(XxHash3_128);

impl std::fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContentHasher")
    }
}

impl Default for ContentHasher {
    fn default() -> Self {
        Self(XxHash3_128::new())
    }
}

impl ContentHasher {
    /// Appends the next bytes; how they are split into calls does not matter.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The 128-bit fingerprint of everything so far.
    pub fn finish(&self) -> u128 {
        self.0.finish_128()
    }
}
