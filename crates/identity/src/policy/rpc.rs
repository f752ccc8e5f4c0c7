//! The rows of gRPC methods.

use super::{RateClass, Who};

/// One method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RpcRow {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// Who may call.
    pub who: Who,
    /// Which limit it counts against.
    pub rate: RateClass,
}

macro_rules! rows {
    ($($service:literal { $($method:literal $who:ident $rate:ident)* })*) => {
        &[$($(RpcRow {
            path: concat!("/", $service, "/", $method),
            who: Who::$who,
            rate: RateClass::$rate,
        },)*)*]
    };
}

/// Every method but health and reflection, which are public.
pub const RPCS: &[RpcRow] = rows! {
    "candor.activity.v1.ActivityLogService" {
        "Begin" PlatformOnly Call
        "Complete" PlatformOnly Call
        "Record" WorkspaceVoice Call
        "RecordStream" WorkspaceVoice Stream
        "Forward" PlatformOnly Call
        "List" WorkspaceOrOperator Call
        "SearchSession" WorkspaceOrOperator Call
        "Notify" WorkspaceVoice Call
    }
    "candor.relay.v1.RelayService" {
        "Deliver" A2a Stream
        "ListQueue" Operator Call
        "GetQueueEntry" Operator Call
        "DropQueueEntry" Operator Call
        "RetryQueueEntry" Operator Call
        "DropStale" Operator Call
        "AcknowledgePolled" PlatformOnly Call
        "Delegate" WorkspaceVoice Call
        "ListDelegations" WorkspaceOrOperator Call
        "RecordDelegation" WorkspaceVoice Call
        "UpdateDelegation" WorkspaceVoice Call
        "GetUsage" WorkspaceOrOperator Call
        "GetAgentCard" PublicRead Call
        "GetTranscript" WorkspaceOrOperator Call
        "GetObservation" Operator Call
        "SetObservation" Operator Call
    }
    "candor.provisioner.v1.ProvisionerService" {
        "RestartWorkspace" WorkspaceOrOperator Call
        "PauseWorkspace" WorkspaceOrOperator Call
        "ResumeWorkspace" WorkspaceOrOperator Call
        "HibernateWorkspace" WorkspaceOrOperator Call
        "ReportBootstrapFailure" Operator Call
        "ExpandWorkspace" WorkspaceOrOperator Call
        "CollapseWorkspace" WorkspaceOrOperator Call
        "AwaitRemoval" Operator Call
        "ExplainInstance" WorkspaceOrOperator Call
        "ListBackends" Operator Call
        "GetPolicy" WorkspaceOrOperator Call
        "SetPolicy" Operator Call
        "ListSecrets" WorkspaceOrOperator Call
        "PutSecret" WorkspaceOrOperator Call
        "DeleteSecret" WorkspaceOrOperator Call
        "GetSecretValues" OwnWorkspace Call
        "RotateSecrets" Operator Call
        "GetModel" WorkspaceOrOperator Call
        "SetModel" WorkspaceOrOperator Call
        "GetConfig" WorkspaceOrOperator Call
        "MergeConfig" WorkspaceOrOperator Call
        "ListTemplates" Operator Call
        "DescribeTemplate" Operator Call
        "ListFiles" WorkspaceOrOperator Call
        "ReadFile" WorkspaceOrOperator Call
        "WriteFiles" WorkspaceOrOperator Call
        "DeleteFile" WorkspaceOrOperator Call
        "GetSharedContext" WorkspaceOrOperator Call
    }
    "candor.registry.v1.RegistryService" {
        "Register" Register Call
        "Heartbeat" Beat Beat
        "HeartbeatStream" Beat Stream
        "UpdateAgentCard" UpdateCard Call
        "Discover" Discover Call
        "ListPeers" Peers Call
        "CheckAccess" PublicRead Call
        "CreateWorkspace" Operator Call
        "GetWorkspace" PublicRead Call
        "ListWorkspaces" Operator Call
        "UpdateWorkspace" WorkspaceOrOperator Call
        "DeleteWorkspace" Operator Call
        "GetState" OwnWorkspace Call
        "ExplainStatus" WorkspaceOrOperator Call
        "ListEvents" Operator Call
        "WatchEvents" WorkspaceOrOperator Stream
        "GetEventCursor" Operator Call
        "AppendEvents" PlatformOnly Call
        "PublishTransient" PlatformOnly Call
        "ResolveTarget" PlatformOnly Call
        "ResolveTargets" PlatformOnly Call
        "SignForAgent" PlatformOnly Call
        "ReportObservation" PlatformOnly Call
        "NoteOutbound" PlatformOnly Call
        "MoveWorkspace" PlatformOnly Call
        "IssueInstanceToken" PlatformOnly Call
        "WithdrawInstanceToken" PlatformOnly Call
        "AnnounceBackends" PlatformOnly Call
        "ListPlacements" PlatformOnly Call
        "TakePlacement" PlatformOnly Call
        "GetBlueprint" PlatformOnly Call
        "ListProvisioned" PlatformOnly Call
        "SetInstanceUrl" PlatformOnly Call
        "GetFamily" PlatformOnly Call
        "ReportRejectedBeats" PlatformOnly Call
        "GetLiveness" Operator Call
        "IssueToken" MintToken Mint
        "VerifyToken" PlatformOnly Call
        "ListTokens" WorkspaceOrOperator Call
        "RevokeToken" WorkspaceOrOperator Call
        "GetBudget" WorkspaceOrOperator Call
        "UpdateBudget" Operator Call
        "GetViewport" PublicRead Call
        "SetViewport" CanvasWrite Call
    }
    "lf.a2a.v1.A2AService" {
        "SendMessage" A2a Call
        "SendStreamingMessage" A2a Stream
        "GetTask" A2a Call
        "ListTasks" A2a Call
        "CancelTask" A2a Call
        "SubscribeToTask" A2a Stream
        "CreateTaskPushNotificationConfig" A2a Call
        "GetTaskPushNotificationConfig" A2a Call
        "ListTaskPushNotificationConfigs" A2a Call
        "DeleteTaskPushNotificationConfig" A2a Call
        "GetExtendedAgentCard" A2a Call
    }
};

/// The row of a request's path.
#[must_use]
pub fn rpc(path: &str) -> Option<&'static RpcRow> {
    RPCS.iter().find(|row| row.path == path)
}
