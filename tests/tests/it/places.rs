//! The limit of dumps on one server, with many who race for it on a real service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use end_to_end::azurite::Azurite;
use shared::clock::Clock;
use shared::config::{Config, Source};
use shared::models::{EngineId, JobId};
use shared::storage::{PlaceOutcome, Storage};

const MOST: u16 = 3;

#[tokio::test]
async fn many_processors_never_hold_more_places_than_a_server_bears() {
    let azurite = Azurite::start().await;
    let connection = azurite.connection_string();
    let config =
        Arc::new(Config::read(&Source::of(&[("STORAGE_CONNECTION_STRING", connection.as_str())])).unwrap());
    let engine: EngineId = "main".parse().unwrap();
    let (inside, most_inside) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let processors = (0..12).map(|_| {
        let (config, engine) = (Arc::clone(&config), engine.clone());
        let (inside, most_inside) = (Arc::clone(&inside), Arc::clone(&most_inside));
        tokio::spawn(async move {
            // Each has its own clients, as processors on different machines do.
            let (places, clock) = (Storage::open(&config).unwrap().places, Clock::system());
            for _ in 0..4 {
                let (job, since) = (JobId::random(), clock.now());
                let place = loop {
                    match places.take(&engine, MOST, (&job, since), clock.now()).await.unwrap() {
                        PlaceOutcome::Granted(place) => break place,
                        PlaceOutcome::Full { .. } => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                };
                let now_inside = inside.fetch_add(1, Ordering::SeqCst) + 1;
                most_inside.fetch_max(now_inside, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(30)).await;
                inside.fetch_sub(1, Ordering::SeqCst);
                places.leave(place).await;
            }
        })
    });
    for processor in processors.collect::<Vec<_>>() {
        processor.await.unwrap();
    }
    assert!(most_inside.load(Ordering::SeqCst) <= usize::from(MOST));

    // All of them were given back, and all can be used at once.
    let (places, clock) = (Storage::open(&config).unwrap().places, Clock::system());
    let ask = async || {
        let (job, now) = (JobId::random(), clock.now());
        places.take(&engine, MOST, (&job, now), now).await.unwrap()
    };
    for _ in 0..MOST {
        assert!(matches!(ask().await, PlaceOutcome::Granted(_)));
    }
    assert!(matches!(ask().await, PlaceOutcome::Full { .. }));
}
