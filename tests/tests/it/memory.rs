//! The processor's memory does not grow with the database.

use end_to_end::servers::postgresql;
use end_to_end::stack::Stack;

/// The most that the processor may hold, for a dump of any size.
const LIMIT: u64 = 80 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn peak_memory_stays_flat_from_100_megabytes_to_a_gigabyte() {
    let server = postgresql::Server::get();
    let mut peaks = Vec::new();
    for (name, rows) in [("e2e_small", 100_000), ("e2e_large", 1_000_000)] {
        // A processor of its own for each size, since a peak never goes back.
        let stack = Stack::start().await;
        server.create(name);
        server.sql(
            name,
            &format!(
                "CREATE UNLOGGED TABLE t AS SELECT id, md5(id::text) || repeat(md5((id * 7)::text), 30) AS v \
                 FROM generate_series(1, {rows}) AS id;"
            ),
        );
        let database = stack.api.create_database(name, &server.as_client(), name).await;
        stack.api.back_up(&database).await;
        peaks.push(stack.app("processor").await.peak_memory().unwrap());
        server.sql("postgres", &format!("DROP DATABASE {name};"));
    }
    let [small, large] = peaks[..] else { panic!("two runs") };
    println!("peak memory of the processor: {} MiB at 100 MB, {} MiB at 1 GB", small >> 20, large >> 20);
    assert!(large < LIMIT, "{} MiB at 1 GB", large >> 20);
    assert!(large < small + (16 << 20), "{} MiB at 100 MB, {} MiB at 1 GB", small >> 20, large >> 20);
}
