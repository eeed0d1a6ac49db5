//! `GET /vnet-status`: which virtual networks the function apps are in.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use shared::networks::{App, AppKind, Network, Reading};

use crate::state::{AppState, Now};

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Answer {
    has_vnet_integration: bool,
    vnets: Vec<VnetView>,
    function_apps: Vec<AppView>,
    inconsistencies: Vec<String>,
    query_error: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct VnetView {
    vnet_name: String,
    vnet_resource_group: String,
    subnet_name: Option<String>,
    connected_apps: Vec<String>,
    connection_status: String,
    is_complete: bool,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct AppView {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    vnet_name: Option<String>,
    subnet_name: Option<String>,
    vnet_resource_group: Option<String>,
    is_connected: bool,
    error: Option<String>,
}

/// Tells it, always with 200: what cannot be found out is said in the body.
pub(crate) async fn vnet_status(State(state): State<AppState>, Now(now): Now) -> Json<Answer> {
    Json(answer(&*state.networks.read(now).await))
}

fn answer(reading: &Reading) -> Answer {
    let apps = match reading {
        Ok(apps) => apps,
        Err(problem) => return Answer { query_error: Some(problem.clone()), ..Answer::default() },
    };
    let vnets = grouped(apps);
    Answer {
        has_vnet_integration: !vnets.is_empty(),
        inconsistencies: inconsistencies(&vnets),
        vnets,
        function_apps: apps.iter().map(app).collect(),
        query_error: None,
    }
}

/// Groups the apps by network. Names of groups and networks are compared without regard to case, since
/// Azure gives them as whoever made the connection had written them.
fn grouped(apps: &[App]) -> Vec<VnetView> {
    let mut vnets: Vec<VnetView> = Vec::new();
    for app in apps {
        let Ok(Some(network)) = &app.network else { continue };
        let same = |vnet: &&mut VnetView| {
            vnet.vnet_name.eq_ignore_ascii_case(&network.name)
                && vnet.vnet_resource_group.eq_ignore_ascii_case(&network.resource_group)
        };
        match vnets.iter_mut().find(same) {
            Some(vnet) => vnet.connected_apps.push(app.name.clone()),
            None => vnets.push(VnetView {
                vnet_name: network.name.clone(),
                vnet_resource_group: network.resource_group.clone(),
                subnet_name: network.subnet.clone(),
                connected_apps: vec![app.name.clone()],
                connection_status: String::new(),
                is_complete: false,
            }),
        }
    }
    let all = AppKind::ALL.len();
    for vnet in &mut vnets {
        let connected = vnet.connected_apps.len();
        vnet.connection_status = format!("{connected}/{all}");
        vnet.is_complete = connected == all;
    }
    vnets
}

fn inconsistencies(vnets: &[VnetView]) -> Vec<String> {
    let incomplete = vnets.iter().filter(|vnet| !vnet.is_complete).map(|vnet| {
        format!(
            "Only {} of the function apps are connected to the network {}.",
            vnet.connection_status, vnet.vnet_name
        )
    });
    let several = (vnets.len() > 1)
        .then(|| format!("The function apps are connected to {} different networks.", vnets.len()));
    incomplete.chain(several).collect()
}

fn app(app: &App) -> AppView {
    let (network, error): (Option<&Network>, _) = match &app.network {
        Ok(network) => (network.as_ref(), None),
        Err(problem) => (None, Some(problem.clone())),
    };
    AppView {
        name: app.name.clone(),
        kind: app.kind.as_str(),
        vnet_name: network.map(|network| network.name.clone()),
        subnet_name: network.and_then(|network| network.subnet.clone()),
        vnet_resource_group: network.map(|network| network.resource_group.clone()),
        is_connected: network.is_some(),
        error,
    }
}
