//! Who a consumer is in its group.

use std::sync::Arc;

/// Who a consumer is in its group, at one moment. From
/// [`Consumer::group_metadata`](crate::Consumer::group_metadata).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMetadata {
    /// The group's id.
    pub group: Arc<str>,
    /// The member's id; `None` for a consumer that is not in the group now.
    pub member_id: Option<Arc<str>>,
    /// The member's epoch: Kafka's generation. -1 for a consumer that is not in the group now.
    pub epoch: i32,
    /// `group.instance.id`, of a static member.
    pub instance_id: Option<Arc<str>>,
}

impl GroupMetadata {
    /// Of a consumer without a group.
    pub(in crate::client) fn nobody() -> Self {
        Self { group: "".into(), member_id: None, epoch: -1, instance_id: None }
    }
}
