//! Did you mean ..?

/// The candidate whose name is nearest to `text`, if it is near enough to be a slip: at most one edit, and
/// one more for every four characters. `candidates` are names and what they stand for.
pub fn nearest<'a, T>(text: &str, candidates: impl IntoIterator<Item = (&'a str, T)>) -> Option<T> {
    let text = text.to_lowercase();
    // Distances are quadratic in length, and no name here is long.
    if text.len() > 100 {
        return None;
    }
    let scored = candidates.into_iter().map(|(name, candidate)| {
        (strsim::damerau_levenshtein(&text, &name.to_lowercase()), name.len(), candidate)
    });
    let (distance, length, candidate) = scored.min_by_key(|(distance, ..)| *distance)?;
    (distance <= 1 + length / 4 && distance < text.chars().count()).then_some(candidate)
}
