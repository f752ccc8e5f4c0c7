//! The workspace's Service: its address, which outlives its instances, and the anchor
//! on which the rest of it hangs.

use std::collections::BTreeMap;

use candor_kernel::Epoch;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::names::{Names, PORT, for_people};
use super::Made;

/// Leads to one instance alone: an older one that survives gets no calls.
pub(in super::super) fn steering(names: &Names<'_>, epoch: Epoch) -> BTreeMap<String, String> {
    names.marks_of(epoch)
}

/// The Service, leading to the plan's instance.
pub(in super::super) fn service(made: &Made<'_>) -> Service {
    let names = made.names;
    let mut metadata = names.meta(names.anchor());
    metadata.annotations = Some(for_people(&made.plan.name));
    Service {
        metadata,
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".into()),
            selector: Some(steering(&names, made.plan.epoch)),
            // An agent that says of itself that it is unwell must be reached to say so.
            publish_not_ready_addresses: Some(true),
            ports: Some(vec![ServicePort {
                name: Some("a2a".into()),
                port: i32::from(PORT),
                protocol: Some("TCP".into()),
                target_port: Some(IntOrString::String("a2a".into())),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
