//! Several processors at once, in every order in which their calls to storage can fall.
//!
//! Each call to a table first yields, so that a schedule (whose turn it is, step by step) decides the
//! order. Schedules are walked through one after the other until all have been tried.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::world::{TTL, artifact, at, claims, failure, job, planned};
use crate::models::{Backup, BackupJob, BackupStatus, DumpProgress};
use crate::storage::rows::Row as _;
use crate::storage::table::{
    Continuation, ETag, Entity, Expect, Key, Page, Properties, Query, Table, query_all,
};
use crate::storage::{ClaimError, ClaimOutcome, Claims, MemoryTable, StorageError};

/// A table whose every call lets others go first.
#[derive(Debug, Clone, Default)]
struct Stepwise(MemoryTable);

/// Comes back once, for whoever has the next turn.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(
        |_| if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending },
    )
    .await;
}

#[async_trait]
impl Table for Stepwise {
    async fn create(&self) -> Result<(), StorageError> {
        Ok(())
    }

    async fn insert(&self, entity: &Entity) -> Result<ETag, StorageError> {
        turn().await;
        self.0.insert(entity).await
    }

    async fn merge(&self, key: &Key, properties: &Properties, expect: &Expect) -> Result<ETag, StorageError> {
        turn().await;
        self.0.merge(key, properties, expect).await
    }

    async fn insert_or_merge(&self, key: &Key, properties: &Properties) -> Result<ETag, StorageError> {
        turn().await;
        self.0.insert_or_merge(key, properties).await
    }

    async fn delete(&self, key: &Key, expect: &Expect) -> Result<(), StorageError> {
        turn().await;
        self.0.delete(key, expect).await
    }

    async fn get(&self, key: &Key) -> Result<Option<Entity>, StorageError> {
        turn().await;
        self.0.get(key).await
    }

    async fn query(&self, query: &Query, from: Option<&Continuation>) -> Result<Page, StorageError> {
        turn().await;
        self.0.query(query, from).await
    }
}

/// Counts the dumps that run, and those that have ended well.
#[derive(Debug, Default)]
struct Server {
    running: AtomicU32,
    most: AtomicU32,
    completed: AtomicU32,
}

/// One processor with one message: what it does with the database's server goes on a count.
async fn processor(claims: Claims, server: Arc<Server>, job: BackupJob, now: DateTime<Utc>, gives_up: bool) {
    let Ok(ClaimOutcome::Granted(mut claim)) = claims.claim(&job, now).await else { return };
    let running = server.running.fetch_add(1, Ordering::Relaxed) + 1;
    server.most.fetch_max(running, Ordering::Relaxed);
    let kept = match claims.plan(&mut claim, &planned("blob")).await {
        Ok(()) => claims.keep_alive(&mut claim, DumpProgress::default(), now).await,
        lost => lost,
    };
    server.running.fetch_sub(1, Ordering::Relaxed);
    assert!(kept.is_ok(), "nobody may take a living claim: {kept:?}");
    if gives_up {
        claims.retry_later(*claim, failure("later")).await.unwrap();
    } else {
        claims.complete(*claim, artifact(), now).await.unwrap();
        server.completed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Lets the futures run to their ends; `choose` says, of so many that are left, whose turn it is.
fn run<'a>(futures: Vec<Pin<Box<dyn Future<Output = ()> + 'a>>>, mut choose: impl FnMut(usize) -> usize) {
    let mut left = futures;
    let mut context = Context::from_waker(Waker::noop());
    while !left.is_empty() {
        let next = choose(left.len());
        if left[next].as_mut().poll(&mut context).is_ready() {
            drop(left.remove(next));
        }
    }
}

/// Walks through every schedule of a scene and returns how many there are. The scene is set up
/// anew for each.
fn every_schedule(mut scene: impl FnMut(&mut dyn FnMut(usize) -> usize)) -> u32 {
    let mut path: Vec<(usize, usize)> = Vec::new();
    let mut schedules = 0;
    loop {
        let mut depth = 0;
        scene(&mut |among| {
            if depth == path.len() {
                path.push((0, among));
            }
            depth += 1;
            path[depth - 1].0
        });
        schedules += 1;
        while path.last().is_some_and(|(chosen, among)| chosen + 1 == *among) {
            path.pop();
        }
        match path.last_mut() {
            Some((chosen, _)) => *chosen += 1,
            None => return schedules,
        }
    }
}

struct Scene {
    tables: [Stepwise; 2],
    claims: Claims,
    server: Arc<Server>,
}

impl Scene {
    fn new() -> Self {
        let tables = [Stepwise::default(), Stepwise::default()];
        let claims = claims(Arc::new(tables[0].clone()), Arc::new(tables[1].clone()));
        Self { tables, claims, server: Arc::default() }
    }

    fn processor(&self, job: &str, gives_up: bool) -> Pin<Box<dyn Future<Output = ()>>> {
        Box::pin(processor(self.claims.clone(), self.server.clone(), super::world::job(job), at(0), gives_up))
    }

    fn records(&self) -> Vec<Backup> {
        let mut found = Vec::new();
        run(
            vec![Box::pin(async { found = query_all(&self.tables[0].0, &Query::default()).await.unwrap() })],
            |_| 0,
        );
        found.iter().map(|row| Backup::from_entity(row).unwrap()).collect()
    }

    fn most_dumps_at_once(&self) -> u32 {
        self.server.most.load(Ordering::Relaxed)
    }

    fn completed(&self) -> u32 {
        self.server.completed.load(Ordering::Relaxed)
    }
}

/// One message that is delivered to two processors at the same time.
#[test]
fn one_job_twice_runs_once() {
    let schedules = every_schedule(|choose| {
        let scene = Scene::new();
        run(vec![scene.processor("1", false), scene.processor("1", false)], choose);
        assert_eq!((scene.most_dumps_at_once(), scene.completed()), (1, 1));
        let records = scene.records();
        assert_eq!(records.len(), 1);
        assert_eq!((records[0].status(), records[0].retry_count), (BackupStatus::Completed, 0));
    });
    assert!(schedules > 1000, "{schedules} schedules");
}

/// Two jobs of one database: one may find it busy, but they never overlap, and neither is lost.
#[test]
fn two_jobs_of_a_database_never_overlap() {
    let schedules = every_schedule(|choose| {
        let scene = Scene::new();
        run(vec![scene.processor("1", false), scene.processor("2", false)], choose);
        assert_eq!(scene.most_dumps_at_once(), 1);
        assert!((1..=2).contains(&scene.completed()), "one of them is granted in any case");
        let records = scene.records();
        let completed = records.iter().filter(|record| record.status() == BackupStatus::Completed).count();
        assert_eq!(completed, scene.completed() as usize);
        assert!(records.iter().all(|record| record.retry_count == 0), "waiting is no retry");
    });
    assert!(schedules > 1000, "{schedules} schedules");
}

/// One attempt fails and is to be repeated while the same message comes a second time.
#[test]
fn a_retry_and_a_repeated_message_never_overlap() {
    let schedules = every_schedule(|choose| {
        let scene = Scene::new();
        run(vec![scene.processor("1", true), scene.processor("1", false)], choose);
        assert_eq!(scene.most_dumps_at_once(), 1);
        let record = scene.records().remove(0);
        let retries = record.retry_count;
        match record.status() {
            BackupStatus::Completed => assert!(retries <= 1),
            BackupStatus::Pending => assert_eq!((retries, scene.completed()), (1, 0)),
            other @ (BackupStatus::InProgress | BackupStatus::Failed | BackupStatus::Cancelled) => {
                panic!("{other} after both have ended")
            }
        }
    });
    assert!(schedules > 1000, "{schedules} schedules");
}

/// A holder died, and two others find its lease run out at the same time.
#[test]
fn two_heirs_of_the_dead_never_overlap() {
    let schedules = every_schedule(|choose| {
        let scene = Scene::new();
        run(vec![Box::pin(async { drop(scene.claims.claim(&job("1"), at(0)).await.unwrap()) })], |_| 0);
        let heirs = ["1", "2"].map(|id| -> Pin<Box<dyn Future<Output = ()>>> {
            Box::pin(processor(scene.claims.clone(), scene.server.clone(), job(id), at(0) + TTL, false))
        });
        run(heirs.into(), choose);
        assert_eq!(scene.most_dumps_at_once(), 1);
        assert!((1..=2).contains(&scene.completed()), "one of them inherits in any case");
    });
    assert!(schedules > 1000, "{schedules} schedules");
}

/// The holder was away for longer than its claim held and comes back while its successor begins:
/// at most one of them brings the job to its end, and the record says which.
#[test]
fn who_comes_back_and_who_succeeds_do_not_both_end_the_job() {
    let schedules = every_schedule(|choose| {
        let scene = Scene::new();
        let mut first = None;
        run(
            vec![Box::pin(async {
                let ClaimOutcome::Granted(claim) = scene.claims.claim(&job("1"), at(0)).await.unwrap() else {
                    panic!("the job is free");
                };
                first = Some(*claim);
            })],
            |_| 0,
        );
        let (claims, late) = (&scene.claims, at(0) + TTL);
        let mut ends = [None, None];
        let [back, successor] = &mut ends;
        let comes_back: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            let Some(mut claim) = first else { return };
            let kept = claims.keep_alive(&mut claim, DumpProgress::default(), late).await;
            if kept.is_ok() {
                *back = claims.complete(claim, artifact(), late).await.ok();
            } else {
                assert!(matches!(kept, Err(ClaimError::Lost)), "{kept:?}");
            }
        });
        let succeeds: Pin<Box<dyn Future<Output = ()>>> = Box::pin(async move {
            if let ClaimOutcome::Granted(claim) = claims.claim(&job("1"), late).await.unwrap() {
                *successor = claims.fail(*claim, failure("second"), late).await.ok();
            }
        });
        run(vec![comes_back, succeeds], choose);
        let ended: Vec<Backup> = ends.into_iter().flatten().collect();
        assert!(ended.len() <= 1, "both have ended the job: {ended:?}");
        let records = scene.records();
        assert_eq!(records.len(), 1);
        if let Some(ended) = ended.first() {
            assert_eq!(records[0].status(), ended.status());
        }
    });
    assert!(schedules > 100, "{schedules} schedules");
}

proptest! {
    /// Four processors, three jobs, some of which give up and come again: too many schedules to try
    /// all, so chance picks.
    #[test]
    fn a_crowd_never_overlaps(choices in prop::collection::vec(0_usize..12, 0..120)) {
        let scene = Scene::new();
        let crowd = [("1", false), ("2", true), ("1", true), ("3", false)];
        let crowd = crowd.map(|(job, gives_up)| scene.processor(job, gives_up));
        let mut choices = choices.into_iter();
        run(crowd.into(), |among| choices.next().unwrap_or_default() % among);
        prop_assert!(scene.most_dumps_at_once() <= 1);
        prop_assert!(scene.records().len() <= 3);
    }
}
