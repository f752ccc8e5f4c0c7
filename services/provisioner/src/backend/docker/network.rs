//! The network that containers join.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::NetworkCreateRequest;
use bollard::query_parameters::{InspectNetworkOptions, ListNetworksOptionsBuilder};

use super::engine::{Engine, Failure, LOOK, MAKE};
use super::names::{Labels, MANAGED};
use crate::backend::BackendError;

/// Makes the network unless it is there. It is everybody's on this engine and never
/// removed: it carries no installation's mark.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn ensure(engine: &Engine, name: &str) -> Result<(), BackendError> {
    let looked = engine
        .call(LOOK, |docker| async move {
            docker
                .inspect_network(name, None::<InspectNetworkOptions>)
                .await
        })
        .await;
    match looked {
        Ok(_) => return Ok(()),
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => return Err(failure.unavailable(&format!("looking for network {name}"))),
    }
    let request = NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        labels: Some(Labels::from([(MANAGED.to_owned(), "true".to_owned())])),
        ..NetworkCreateRequest::default()
    };
    let made = engine
        .call(MAKE, |docker| async move {
            docker.create_network(request).await
        })
        .await;
    match made {
        Ok(made) => only_the_oldest(engine, name, &made.id).await,
        // Somebody else was faster.
        Err(Failure::Answered(409, _)) => Ok(()),
        Err(failure) => Err(failure.unavailable(&format!("making network {name}"))),
    }
}

/// The machine's own IPv4 address in the network, if it has one.
///
/// # Errors
/// [`BackendError::Unavailable`].
pub(super) async fn gateway(engine: &Engine, name: &str) -> Result<Option<String>, BackendError> {
    let options = None::<InspectNetworkOptions>;
    let found = engine
        .call(LOOK, |docker| async move {
            docker.inspect_network(name, options).await
        })
        .await
        .map_err(|failure| failure.unavailable(&format!("looking at network {name}")))?;
    let ranges = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
    let mut gateways = ranges.into_iter().filter_map(|range| range.gateway);
    Ok(gateways.find(|gateway| gateway.parse::<Ipv4Addr>().is_ok()))
}

/// Engines of old make a second network of the same name for whoever asks at the same
/// time, and then know neither by its name. Whoever came later takes its own back.
async fn only_the_oldest(engine: &Engine, name: &str, ours: &str) -> Result<(), BackendError> {
    let filters = HashMap::from([("name", vec![name])]);
    let options = ListNetworksOptionsBuilder::new().filters(&filters).build();
    let found = engine
        .call(LOOK, |docker| async move {
            docker.list_networks(Some(options)).await
        })
        .await
        .map_err(|failure| failure.unavailable("listing networks"))?;
    let oldest = found
        .into_iter()
        // The engine's filter finds longer names as well.
        .filter(|network| network.name.as_deref() == Some(name))
        .min_by(|one, other| (&one.created, &one.id).cmp(&(&other.created, &other.id)));
    if oldest.and_then(|network| network.id).as_deref() == Some(ours) {
        return Ok(());
    }
    engine
        .call(
            MAKE,
            |docker| async move { docker.remove_network(ours).await },
        )
        .await
        .map_err(|failure| failure.unavailable(&format!("taking back a second network {name}")))
}
