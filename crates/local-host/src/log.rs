//! The host's log: one line each on stdout, with the time and the app's name in front.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

/// What is shown when nobody says otherwise: the storage client's own lines repeat what the host says.
const DEFAULT_FILTER: &str = "info,typespec_client_core=error,azure_core=error";

/// Sends the log of this process to stdout, one line for each event. What is shown follows
/// `RUST_LOG`; when that is not set, information and above. Does nothing where a log is already set up.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).event_format(Lines).try_init();
}

/// Formats events as `12:00:00 app | text`, with the level in front of the text where it is not
/// information.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let app = if parts.app.is_empty() { event.metadata().target() } else { &parts.app };
        let time = crate::ambient::now().format("%H:%M:%S");
        write!(writer, "{time} {app:<10} | ")?;
        if *event.metadata().level() != Level::INFO {
            write!(writer, "{}: ", event.metadata().level())?;
        }
        writeln!(writer, "{}{}", parts.message, parts.others)
    }
}

#[derive(Default)]
struct Parts {
    app: String,
    message: String,
    others: String,
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        use fmt::Write as _;
        let target = match field.name() {
            "app" => &mut self.app,
            "message" => &mut self.message,
            name => {
                let _ = write!(self.others, " {name}=");
                &mut self.others
            }
        };
        let _ = write!(target, "{value:?}");
    }
}
