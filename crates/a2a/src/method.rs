//! The protocol's operations, under both of their names.

use crate::version::Version;

/// An operation of A2A (specification 1.0.1, section 5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Gives the agent a message.
    SendMessage,
    /// Gives the agent a message, and streams what comes of it.
    SendStreamingMessage,
    /// Reads a task.
    GetTask,
    /// Reads a page of tasks.
    ListTasks,
    /// Asks for the end of a task.
    CancelTask,
    /// Streams what happens to a task.
    SubscribeToTask,
    /// Registers a webhook for a task.
    CreatePushConfig,
    /// Reads a webhook of a task.
    GetPushConfig,
    /// Reads the webhooks of a task.
    ListPushConfigs,
    /// Removes a webhook of a task.
    DeletePushConfig,
    /// Reads what the agent tells of itself to whom it knows.
    GetExtendedCard,
}

impl Method {
    /// Every operation.
    pub const ALL: [Self; 11] = [
        Self::SendMessage,
        Self::SendStreamingMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::SubscribeToTask,
        Self::CreatePushConfig,
        Self::GetPushConfig,
        Self::ListPushConfigs,
        Self::DeletePushConfig,
        Self::GetExtendedCard,
    ];

    /// JSON-RPC's name for it in 0.3.
    const fn name_03(self) -> &'static str {
        match self {
            Self::SendMessage => "message/send",
            Self::SendStreamingMessage => "message/stream",
            Self::GetTask => "tasks/get",
            Self::ListTasks => "tasks/list",
            Self::CancelTask => "tasks/cancel",
            Self::SubscribeToTask => "tasks/resubscribe",
            Self::CreatePushConfig => "tasks/pushNotificationConfig/set",
            Self::GetPushConfig => "tasks/pushNotificationConfig/get",
            Self::ListPushConfigs => "tasks/pushNotificationConfig/list",
            Self::DeletePushConfig => "tasks/pushNotificationConfig/delete",
            Self::GetExtendedCard => "agent/getAuthenticatedExtendedCard",
        }
    }

    /// JSON-RPC's name for it in 1.0, which is also the name of the RPC.
    const fn name_10(self) -> &'static str {
        match self {
            Self::SendMessage => "SendMessage",
            Self::SendStreamingMessage => "SendStreamingMessage",
            Self::GetTask => "GetTask",
            Self::ListTasks => "ListTasks",
            Self::CancelTask => "CancelTask",
            Self::SubscribeToTask => "SubscribeToTask",
            Self::CreatePushConfig => "CreateTaskPushNotificationConfig",
            Self::GetPushConfig => "GetTaskPushNotificationConfig",
            Self::ListPushConfigs => "ListTaskPushNotificationConfigs",
            Self::DeletePushConfig => "DeleteTaskPushNotificationConfig",
            Self::GetExtendedCard => "GetExtendedAgentCard",
        }
    }

    /// The `method` member of a JSON-RPC request of this version.
    #[must_use]
    pub const fn name(self, version: Version) -> &'static str {
        match version {
            Version::V03 => self.name_03(),
            Version::V10 => self.name_10(),
        }
    }

    /// The operation of this name, and the version whose name it is. No name
    /// belongs to both.
    #[must_use]
    pub fn from_name(name: &str) -> Option<(Self, Version)> {
        Self::ALL.into_iter().find_map(|method| {
            let version = Version::ALL
                .into_iter()
                .find(|version| method.name(*version) == name)?;
            Some((method, version))
        })
    }

    /// Whether it leaves the agent as it is: such a call may be repeated, and
    /// ended when its caller leaves.
    #[must_use]
    pub const fn is_read_only(self) -> bool {
        match self {
            Self::GetTask
            | Self::ListTasks
            | Self::SubscribeToTask
            | Self::GetPushConfig
            | Self::ListPushConfigs
            | Self::GetExtendedCard => true,
            Self::SendMessage
            | Self::SendStreamingMessage
            | Self::CancelTask
            | Self::CreatePushConfig
            | Self::DeletePushConfig => false,
        }
    }

    /// Whether the answer is a stream.
    #[must_use]
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::SendStreamingMessage | Self::SubscribeToTask)
    }

    /// Whether its params carry a message for the agent.
    #[must_use]
    pub const fn sends_message(self) -> bool {
        matches!(self, Self::SendMessage | Self::SendStreamingMessage)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_name_leads_back_to_its_operation_and_version() {
        let mut names = BTreeSet::new();
        for method in Method::ALL {
            for version in Version::ALL {
                let name = method.name(version);
                assert_eq!(Method::from_name(name), Some((method, version)));
                assert!(names.insert(name), "{name} stands for two things");
            }
        }
        for name in ["", "sendMessage", "message/Send", "GetTask ", "tasks/send"] {
            assert_eq!(Method::from_name(name), None, "{name}");
        }
    }

    #[test]
    fn the_names_of_1_0_are_the_rpcs_of_the_service() {
        use prost::Message as _;
        let set = prost_reflect::prost_types::FileDescriptorSet::decode(
            candor_proto::a2a::DESCRIPTOR_SET,
        )
        .unwrap_or_default();
        let service = set.file.iter().flat_map(|file| &file.service).next();
        let rpcs: Vec<(&str, bool)> = service
            .iter()
            .flat_map(|service| &service.method)
            .map(|rpc| (rpc.name(), rpc.server_streaming()))
            .collect();
        assert_eq!(rpcs.len(), Method::ALL.len());
        for method in Method::ALL {
            let row = (method.name(Version::V10), method.is_streaming());
            assert!(rpcs.contains(&row), "{row:?} in {rpcs:?}");
        }
    }

    #[test]
    fn what_changes_the_agent_is_not_read_only() {
        let changing: Vec<Method> = Method::ALL
            .into_iter()
            .filter(|method| !method.is_read_only())
            .collect();
        let expected = [
            Method::SendMessage,
            Method::SendStreamingMessage,
            Method::CancelTask,
            Method::CreatePushConfig,
            Method::DeletePushConfig,
        ];
        assert_eq!(changing, expected);
    }
}
