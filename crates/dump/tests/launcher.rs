//! Tools that are started through the launcher die with the process that started them.
//!
//! This test has a `main` of its own: it plays the program that uses the crate, and is its launcher.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(
    clippy::disallowed_methods,
    reason = "the test starts itself, and scripts are written by a child process"
)]

#[path = "support/stand_in.rs"]
mod stand_in;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use dump::{DumpError, Tools, dump};
use futures::StreamExt;

use crate::stand_in::{PASSWORD, StandIn, patient, target, wait_for_end_of};

fn main() {
    dump::launcher::run_if_asked();
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [victim, folder] = arguments.as_slice()
        && victim == "victim"
    {
        return be_the_victim(Path::new(folder));
    }
    // What test runners ask of every test program.
    if arguments.iter().any(|argument| argument == "--list") {
        if !arguments.iter().any(|argument| argument == "--ignored") {
            println!("launcher: test");
        }
        return;
    }
    a_tool_works_through_the_launcher();
    a_tool_that_cannot_be_started_is_reported();
    a_tool_dies_with_the_process_that_started_it();
    println!("launcher: ok");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn with_launcher(tools: Tools) -> Tools {
    tools.with_launcher(env::current_exe().unwrap())
}

/// Starts a dump from a thread that ends at once, and then does nothing until it is killed.
fn be_the_victim(folder: &Path) {
    let runtime = runtime();
    let tools = with_launcher(Tools::new(vec![PathBuf::from(folder)]));
    let starter = runtime.handle().clone();
    // The thread that asks for a tool may end: the tool must live on as long as the process does.
    let dump = std::thread::spawn(move || starter.block_on(dump(&tools, &target(), &patient())).unwrap());
    let mut dump = dump.join().unwrap();
    runtime.block_on(async {
        for piece in 0.. {
            dump.next().await.unwrap().unwrap();
            fs::write(folder.join("pieces"), format!("{piece}\n")).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    });
}

fn a_tool_works_through_the_launcher() {
    let stand_in = StandIn::new(
        "tr '\\0' '\\n' </proc/$$/cmdline >$OUT/arguments; cut -d' ' -f5 /proc/$$/stat >$OUT/group; echo $$ >$OUT/tool; echo '-- Dump completed'",
    );
    let items: Vec<_> = runtime().block_on(async {
        dump(&with_launcher(stand_in.tools()), &target(), &patient()).await.unwrap().collect().await
    });
    assert!(items.iter().all(Result::is_ok), "{items:?}");
    let arguments = stand_in.note("arguments").unwrap();
    assert!(arguments.ends_with("\n--\nshop"), "{arguments}");
    assert!(!arguments.contains("--dilux-launch") && !arguments.contains(PASSWORD), "{arguments}");
    assert_eq!(stand_in.note("group"), stand_in.note("tool"), "the tool leads a process group of its own");
}

fn a_tool_that_cannot_be_started_is_reported() {
    let stand_in = StandIn::new("");
    let script = "#!/nowhere/interpreter\n";
    fs::write(stand_in.path().join("mysqldump"), script).unwrap();
    let error = runtime().block_on(async {
        let items: Vec<_> =
            dump(&with_launcher(stand_in.tools()), &target(), &patient()).await.unwrap().collect().await;
        items.into_iter().find_map(Result::err).unwrap()
    });
    assert!(matches!(error, DumpError::ToolFailed { status: 127, .. }), "{error}");
    assert!(error.to_string().contains("could not be started"), "{error}");
}

fn a_tool_dies_with_the_process_that_started_it() {
    // One that writes all the time would die of its closed output.
    let stand_in = StandIn::new("echo $$ >$OUT/tool; head -c 8000000 /dev/zero; exec sleep 1000");
    let mut victim = Victim(
        Command::new(env::current_exe().unwrap())
            .arg("victim")
            .arg(stand_in.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let tool = stand_in.wait_for_note("tool");
    // It works on after the thread that asked for it has ended: this is more than fits into its pipe.
    stand_in::wait_for("the fortieth piece", || {
        (stand_in.note("pieces")?.parse::<u32>().ok()? >= 40).then_some(())
    });
    assert!(Path::new("/proc").join(&tool).exists());
    victim.0.kill().unwrap();
    victim.0.wait().unwrap();
    wait_for_end_of(&tool);
}

/// A process that does not outlive a failed test.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        // It is gone already when the test went well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
