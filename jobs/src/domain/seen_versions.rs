//! The versions of a resource that a change may be based on: [`SeenVersions`].

/// What the caller has read. RFC 9110 lets a client name several versions; the change applies if one of them is the present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenVersions(Vec<i32>);

impl SeenVersions {
    pub fn include(&self, present: i32) -> bool {
        self.0.contains(&present)
    }
}

impl From<i32> for SeenVersions {
    fn from(version: i32) -> Self {
        Self(vec![version])
    }
}

impl FromIterator<i32> for SeenVersions {
    fn from_iter<I: IntoIterator<Item = i32>>(versions: I) -> Self {
        Self(versions.into_iter().collect())
    }
}
