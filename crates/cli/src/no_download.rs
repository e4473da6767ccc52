//! What stands in for fetching where the program was built without it.

use std::ffi::OsString;

use weightscope_hub::{Found, HubError, ModelId, Name, Places};

use crate::inputs::Wish;

/// Nothing can be done about a model that is not in the cache.
pub(crate) fn hint(_name: &str) -> String {
    "; this program was built without the feature hub, which would fetch it".to_owned()
}

/// There are none without a network.
#[derive(Debug)]
pub(crate) struct Headers {}

/// Finds what the cache has.
pub(crate) fn get(
    _id: &ModelId,
    name: &Name,
    places: &Places,
    _variable: &dyn Fn(&str) -> Option<OsString>,
    _wish: Wish<'_>,
) -> Result<(Found, Option<Headers>), HubError> {
    places.find(name).map(|found| (found, None))
}
