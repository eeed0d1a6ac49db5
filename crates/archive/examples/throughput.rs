//! Measures compression and upload against a store that throws everything away.
//!
//! ```text
//! cargo run --release -p archive --example throughput -- [MIB|FILE] [LEVEL]
//! ```
//!
//! Stores MIB mebibytes (1024) of text like a dump's at LEVEL (6; `none` for no compression), or
//! the text of a file when the first argument is a path, and prints rate, ratio, processor time and
//! the highest resident memory.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use archive::{Compression, Destination, Progress};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use shared::storage::{
    BlobAddress, BlobListing, BlobProperties, BlobStore, ByteStream, CommitOptions, StorageError,
    StorageErrorKind,
};

/// The size of a chunk as it comes from a pipe.
const CHUNK: usize = 64 << 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let amount = arguments.next().unwrap_or_else(|| "1024".to_owned());
    let compression = match arguments.next().as_deref() {
        Some("none") => Compression::None,
        Some(level) => Compression::Gzip { level: level.parse()? },
        None => Compression::default(),
    };
    let dump = match amount.parse::<usize>() {
        Ok(mebibytes) => text(mebibytes << 20),
        Err(_) => file(PathBuf::from(amount)).await?,
    };
    let address = BlobAddress::new("backups", "benchmark.sql.gz");
    let destination =
        Destination { store: &Discarding, address: &address, attempt: [0; 16], metadata: [].into() };
    let begin = Instant::now();
    let stored =
        archive::store(dump, compression, destination, &Progress::default(), async || Ok(BTreeMap::new()))
            .await?;
    let seconds = begin.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (dumped, bytes) = (stored.dumped_bytes as f64, stored.bytes as f64);
    println!("{compression:?}");
    println!(
        "  {:.0} MB in, {:.0} MB out ({:.1} %), {} blocks",
        dumped / 1e6,
        bytes / 1e6,
        bytes / dumped * 100.0,
        stored.blocks
    );
    println!("  {seconds:.1} s, {:.0} MB/s, processor {:.1} s", dumped / 1e6 / seconds, processor_seconds()?);
    println!("  highest resident memory {:.1} MiB", peak_kib()? / 1024.0);
    Ok(())
}

/// Makes chunks of text, row by row, that compress about as well as a real dump.
fn text(bytes: usize) -> BoxStream<'static, Result<Bytes, io::Error>> {
    const WORDS: [&str; 16] = [
        "order",
        "pending",
        "customer",
        "invoice",
        "Zürich",
        "delivery",
        "2025-12-05",
        "NULL",
        "paid",
        "lorem",
        "ipsum",
        "warehouse",
        "return",
        "express",
        "standard",
        "cancelled",
    ];
    let mut state: u64 = 88_172_645_463_325_252;
    let mut row = 0_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let chunks = bytes / CHUNK;
    stream::iter(0..chunks)
        .map(move |_| {
            let mut chunk = String::with_capacity(CHUNK + 256);
            while chunk.len() < CHUNK {
                row += 1;
                let (one, two) = (next(), next());
                let word = |at: u64| WORDS.get(usize::try_from(at % 16).unwrap_or(0)).copied().unwrap_or("");
                let _ = writeln!(
                    chunk,
                    "INSERT INTO `orders` VALUES ({row},'{one:016x}','{} {} {}',{}.{:02},'2025-{:02}-{:02}');",
                    word(two),
                    word(two >> 8),
                    word(two >> 16),
                    two % 10_000,
                    one % 100,
                    one % 12 + 1,
                    two % 28 + 1,
                );
            }
            chunk.truncate(chunk.floor_char_boundary(CHUNK));
            Ok(chunk.into())
        })
        .boxed()
}

/// Reads a file in chunks.
async fn file(path: PathBuf) -> Result<BoxStream<'static, Result<Bytes, io::Error>>, io::Error> {
    let file = tokio::fs::File::open(path).await?;
    let chunks = stream::try_unfold(file, async |mut file| {
        let mut chunk = Vec::with_capacity(CHUNK);
        let read = tokio::io::AsyncReadExt::read_buf(&mut file, &mut chunk).await?;
        Ok((read > 0).then(|| (chunk.into(), file)))
    });
    Ok(chunks.boxed())
}

fn peak_kib() -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.and_then(|line| line.split_whitespace().next()).unwrap_or("0").parse()?)
}

/// Reads user and system time; the kernel counts them in hundredths of a second.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).copied().unwrap_or("0").parse::<f64>();
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

/// Takes everything and keeps nothing.
#[derive(Debug)]
struct Discarding;

#[async_trait]
impl BlobStore for Discarding {
    async fn create_container(&self, _container: &str) -> Result<(), StorageError> {
        Ok(())
    }

    async fn stage(&self, _blob: &BlobAddress, _id: &[u8], _content: Bytes) -> Result<(), StorageError> {
        Ok(())
    }

    async fn commit(
        &self,
        _blob: &BlobAddress,
        _block_ids: &[Vec<u8>],
        _options: &CommitOptions,
    ) -> Result<(), StorageError> {
        Ok(())
    }

    async fn copy(
        &self,
        from: &BlobAddress,
        _to: &BlobAddress,
        _metadata: &BTreeMap<String, String>,
    ) -> Result<(), StorageError> {
        Err(StorageError::new(StorageErrorKind::NotFound, "copy to blob", from.to_string()))
    }

    async fn properties(&self, _blob: &BlobAddress) -> Result<Option<BlobProperties>, StorageError> {
        Ok(None)
    }

    async fn download(&self, blob: &BlobAddress) -> Result<ByteStream, StorageError> {
        Err(StorageError::new(StorageErrorKind::NotFound, "download blob", blob.to_string()))
    }

    async fn delete(&self, _blob: &BlobAddress) -> Result<bool, StorageError> {
        Ok(false)
    }

    async fn list(
        &self,
        _container: &str,
        _prefix: &str,
        _marker: Option<&str>,
        _limit: u32,
    ) -> Result<BlobListing, StorageError> {
        Ok(BlobListing::default())
    }

    fn url(&self, blob: &BlobAddress) -> String {
        format!("discarded://{blob}")
    }
}
