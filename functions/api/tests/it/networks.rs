//! The look at the networks of the function apps, on a stand-in for Azure Resource Manager.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::{World, at, pretty};

/// What the stand-in answers for each app, and what it was asked.
#[derive(Clone, Default)]
struct Arm {
    answers: Arc<Mutex<BTreeMap<&'static str, (u16, Value)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Arm {
    fn answer(&self, app: &'static str, status: u16, body: Value) {
        self.answers.lock().unwrap().insert(app, (status, body));
    }

    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().fallback(respond).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }
}

async fn respond(State(arm): State<Arm>, request: Request) -> axum::response::Response {
    let header = request.headers()["authorization"].to_str().unwrap().to_owned();
    arm.asked.lock().unwrap().push(format!("{} {header}", request.uri()));
    let app = request.uri().path().split('/').nth(8).unwrap_or_default().to_owned();
    let (status, body) = arm.answers.lock().unwrap().get(app.as_str()).cloned().unwrap_or((404, json!({})));
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

fn connection(group: &str, network: &str, subnet: &str) -> Value {
    let id = format!(
        "/subscriptions/s-1/resourceGroups/{group}/providers/Microsoft.Network/virtualNetworks/{network}/subnets/{subnet}"
    );
    json!([{"name": "x", "properties": {"vnetResourceId": id, "isSwift": true}}])
}

async fn world(arm: &Arm) -> World {
    World::with(&[
        ("RESOURCE_MANAGER_URL", &arm.start().await),
        ("AZURE_SUBSCRIPTION_ID", "s-1"),
        ("DILUX_RESOURCE_GROUP", "the group"),
        ("DILUX_API_APP_NAME", "app-a"),
        ("DILUX_SCHEDULER_APP_NAME", "app-s"),
        ("DILUX_PROCESSOR_APP_NAME", "app-p"),
    ])
}

#[tokio::test]
async fn apps_in_one_network_are_complete_and_asked_for_once_in_five_minutes() {
    let arm = Arm::default();
    for app in ["app-a", "app-s"] {
        arm.answer(app, 200, connection("net-group", "vnet-1", "functions"));
    }
    arm.answer("app-p", 200, json!({"value": connection("NET-GROUP", "vnet-1", "functions")}));
    let world = world(&arm).await;
    insta::assert_snapshot!(pretty(&world.get("/vnet-status").await), @r#"
    {
      "function_apps": [
        {
          "error": null,
          "is_connected": true,
          "name": "app-a",
          "subnet_name": "functions",
          "type": "api",
          "vnet_name": "vnet-1",
          "vnet_resource_group": "net-group"
        },
        {
          "error": null,
          "is_connected": true,
          "name": "app-s",
          "subnet_name": "functions",
          "type": "scheduler",
          "vnet_name": "vnet-1",
          "vnet_resource_group": "net-group"
        },
        {
          "error": null,
          "is_connected": true,
          "name": "app-p",
          "subnet_name": "functions",
          "type": "processor",
          "vnet_name": "vnet-1",
          "vnet_resource_group": "NET-GROUP"
        }
      ],
      "has_vnet_integration": true,
      "inconsistencies": [],
      "query_error": null,
      "vnets": [
        {
          "connected_apps": [
            "app-a",
            "app-s",
            "app-p"
          ],
          "connection_status": "3/3",
          "is_complete": true,
          "subnet_name": "functions",
          "vnet_name": "vnet-1",
          "vnet_resource_group": "net-group"
        }
      ]
    }
    "#);
    let mut asked = arm.asked.lock().unwrap().clone();
    asked.sort();
    insta::assert_snapshot!(asked.join("\n"), @"
    /subscriptions/s-1/resourceGroups/the%20group/providers/Microsoft.Web/sites/app-a/virtualNetworkConnections?api-version=2024-04-01 Bearer the-token
    /subscriptions/s-1/resourceGroups/the%20group/providers/Microsoft.Web/sites/app-p/virtualNetworkConnections?api-version=2024-04-01 Bearer the-token
    /subscriptions/s-1/resourceGroups/the%20group/providers/Microsoft.Web/sites/app-s/virtualNetworkConnections?api-version=2024-04-01 Bearer the-token
    ");
    world.state.clock.set(at("2026-03-01T12:04:59Z"));
    world.get("/vnet-status").await;
    assert_eq!(arm.asked.lock().unwrap().len(), 3);
    world.state.clock.set(at("2026-03-01T12:05:01Z"));
    world.get("/vnet-status").await;
    assert_eq!(arm.asked.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn what_does_not_fit_together_is_said() {
    let arm = Arm::default();
    arm.answer("app-a", 200, connection("g", "vnet-1", "n"));
    arm.answer("app-s", 200, connection("g", "vnet-2", "n"));
    arm.answer("app-p", 200, json!([]));
    insta::assert_snapshot!(pretty(&world(&arm).await.get("/vnet-status").await), @r#"
    {
      "function_apps": [
        {
          "error": null,
          "is_connected": true,
          "name": "app-a",
          "subnet_name": "n",
          "type": "api",
          "vnet_name": "vnet-1",
          "vnet_resource_group": "g"
        },
        {
          "error": null,
          "is_connected": true,
          "name": "app-s",
          "subnet_name": "n",
          "type": "scheduler",
          "vnet_name": "vnet-2",
          "vnet_resource_group": "g"
        },
        {
          "error": null,
          "is_connected": false,
          "name": "app-p",
          "subnet_name": null,
          "type": "processor",
          "vnet_name": null,
          "vnet_resource_group": null
        }
      ],
      "has_vnet_integration": true,
      "inconsistencies": [
        "Only 1/3 of the function apps are connected to the network vnet-1.",
        "Only 1/3 of the function apps are connected to the network vnet-2.",
        "The function apps are connected to 2 different networks."
      ],
      "query_error": null,
      "vnets": [
        {
          "connected_apps": [
            "app-a"
          ],
          "connection_status": "1/3",
          "is_complete": false,
          "subnet_name": "n",
          "vnet_name": "vnet-1",
          "vnet_resource_group": "g"
        },
        {
          "connected_apps": [
            "app-s"
          ],
          "connection_status": "1/3",
          "is_complete": false,
          "subnet_name": "n",
          "vnet_name": "vnet-2",
          "vnet_resource_group": "g"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn problems_are_in_the_body() {
    let arm = Arm::default();
    arm.answer("app-a", 403, json!({"error": {"code": "AuthorizationFailed", "message": "secret details"}}));
    arm.answer("app-s", 200, json!("nonsense"));
    let here = world(&arm).await;
    let answer = here.get("/vnet-status").await;
    let errors = [0, 1, 2].map(|index| answer["function_apps"][index]["error"].as_str().unwrap().to_owned());
    insta::assert_snapshot!(errors.join("\n"), @"
    this service may not read the app; give its identity the role Reader
    Azure Resource Manager gave an answer that cannot be read
    there is no app of this name in the resource group
    ");
    assert_eq!(answer["has_vnet_integration"], false);
    // Somebody mends it; the page shows that before long.
    arm.answer("app-a", 500, json!({}));
    here.state.clock.set(at("2026-03-01T12:00:31Z"));
    let answer = here.get("/vnet-status").await;
    assert_eq!(answer["function_apps"][0]["error"], "Azure Resource Manager answered with status 500");
    let gone = World::with(&[
        ("RESOURCE_MANAGER_URL", "http://127.0.0.1:1"),
        ("AZURE_SUBSCRIPTION_ID", "s"),
        ("DILUX_RESOURCE_GROUP", "g"),
        ("DILUX_API_APP_NAME", "a"),
    ]);
    let answer = gone.get("/vnet-status").await;
    assert_eq!(answer["function_apps"][0]["error"], "Azure Resource Manager cannot be reached");
}

#[tokio::test]
async fn without_settings_there_is_nothing_to_ask() {
    let mut lines = Vec::new();
    let settings = [("AZURE_SUBSCRIPTION_ID", "s"), ("DILUX_RESOURCE_GROUP", "g")];
    for count in 0..=2 {
        let answer = World::with(&settings[..count]).get("/vnet-status").await;
        lines.push(answer.to_string());
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"function_apps":[],"has_vnet_integration":false,"inconsistencies":[],"query_error":"AZURE_SUBSCRIPTION_ID is not set","vnets":[]}
    {"function_apps":[],"has_vnet_integration":false,"inconsistencies":[],"query_error":"DILUX_RESOURCE_GROUP is not set","vnets":[]}
    {"function_apps":[],"has_vnet_integration":false,"inconsistencies":[],"query_error":"none of DILUX_API_APP_NAME, DILUX_SCHEDULER_APP_NAME and DILUX_PROCESSOR_APP_NAME is set","vnets":[]}
    "#);
}
