//! The claims for what outlives an instance.
//!
//! They hang on nothing: a volume goes only when somebody asks for that.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::super::names::for_people;
use super::super::settings::Access;
use super::Made;

/// A claim with this name and size.
pub(in super::super) fn claim(made: &Made<'_>, name: String, size: &str) -> PersistentVolumeClaim {
    let access = match made.settings.access {
        Access::OneNode => "ReadWriteOnce",
        Access::OnePod => "ReadWriteOncePod",
    };
    let mut metadata = made.names.meta(name);
    metadata.annotations = Some(for_people(&made.plan.name));
    PersistentVolumeClaim {
        metadata,
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec![access.into()]),
            storage_class_name: made.settings.storage_class.clone(),
            volume_mode: Some("Filesystem".into()),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([(
                    "storage".into(),
                    Quantity(size.to_owned()),
                )])),
                ..VolumeResourceRequirements::default()
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        ..PersistentVolumeClaim::default()
    }
}
