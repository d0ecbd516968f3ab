//! The parts of the crate that its own tests, benches and fuzz targets use, under the paths of their modules.
//!
//! Nothing else is public beside the command line, so that the compiler finds dead code.

pub mod backoff {
    pub use crate::backoff::{Backoff, BreakerSettings};
}
pub mod changes {
    pub use crate::changes::Change;
    pub mod catalogue {
        pub use crate::changes::catalogue::{ALL_TABLES, PRODUCTS, SALES_ORDERS};
    }
    pub mod rows {
        pub use crate::changes::rows::{CellValue, ListChange, RowChange};
    }
}
pub mod clock {
    pub use crate::clock::{Clock, Timestamp, add_duration, format_timestamp};
}
pub mod access {
    pub use crate::access::Role;
}
pub mod console {
    pub use crate::console::router::{RouteAccess, list_routes};
}
pub mod config {
    pub use crate::config::{Config, SecretLoading};
}
pub mod delivery {
    pub mod destinations {
        pub use crate::delivery::destinations::Destinations;
    }
    pub mod payload {
        pub use crate::delivery::payload::PayloadFormat;
    }
}
pub mod edi {
    pub mod answers {
        pub use crate::edi::answers::Verdict;
        pub mod state {
            pub use crate::edi::answers::state::{AnswerFact, SentState, fold_answers};
        }
    }
    pub mod decimal {
        pub use crate::edi::decimal::{format_n2, normalize_decimal, parse_n2};
    }
    pub mod fault {
        pub use crate::edi::fault::FaultSeverity;
    }
    pub mod file {
        pub use crate::edi::file::{EdiFile, EdiFormat, read_edi_file};
    }
    pub mod outbound {
        pub use crate::edi::outbound::ErpDocument;
        pub mod order_balance {
            pub use crate::edi::outbound::order_balance::OrderBalance;
        }
        pub mod partner_rules {
            pub use crate::edi::outbound::partner_rules::PartnerRules;
        }
    }
    pub mod outbound_document {
        pub use crate::edi::outbound_document::OutboundContent;
    }
    pub mod parties {
        pub use crate::edi::parties::find_partner;
    }
    pub mod purchase_order {
        pub use crate::edi::purchase_order::{
            AllowanceCharge, DocumentOrigin, EdiAddress, EdiContact, EdiDate, EdiReference, LineSchedule, ProductId,
            PurchaseOrder, PurchaseOrderLine,
        };
    }
    pub mod revisions {
        pub use crate::edi::revisions::{
            ChangeQuantities, OrderState, OrderStatus, ReceivedDocument, Revision, RevisionOutcome, fold_documents,
        };
    }
    pub mod rsx {
        pub mod order {
            pub use crate::edi::rsx::{list_rsx_kinds, read_rsx_documents};
        }
        pub mod tree {
            pub use crate::edi::rsx::tree::{parse_rsx_json, parse_rsx_xml};
        }
    }
    pub mod x12 {
        pub mod acknowledgement {
            pub use crate::edi::x12::acknowledgement::{draft_acknowledgement, is_acknowledgement_due};
        }
        pub mod write {
            pub use crate::edi::x12::write::ControlNumbers;
        }
    }
}
pub mod event {
    pub use crate::event::{EventIdentity, EventKey, Source};
}
pub mod handlers {
    pub use crate::handlers::{Event, Handler, HandlerError, Plan, Routes};
    pub mod shopify {
        pub mod orders {
            pub use crate::handlers::shopify::orders::OrderHandler;
        }
    }
}
pub mod lenient_json {
    pub use crate::lenient_json::{JsonValue, parse_lenient_json, read_text_fields, repair_json, repair_plain_text};
}
pub mod processor {
    pub use crate::processor::EventProcessor;
}
pub mod proof {
    pub use crate::proof::{compute_hmac_sha256, verify_hmac_sha256};
}
pub mod providers {
    pub use crate::providers::{WebhookEndpoint, WebhookVerifiers};
    pub mod easypost {
        pub use crate::providers::easypost::{EasyPostVerifier, sign_easypost_body};
    }
    pub mod keycloak {
        pub use crate::providers::keycloak::{AcceptedProofs, KeycloakVerifier};
    }
    pub mod shopify {
        pub use crate::providers::shopify::{ShopifyVerifier, sign_shopify_body};
    }
}
pub mod queue {
    pub use crate::queue::{Worker, WorkerOptions};
    pub mod process {
        pub use crate::queue::process::identify_current_process;
    }
}
pub mod secret {
    pub use crate::secret::Secret;
}
pub mod spreadsheet {
    pub mod mappings_csv {
        pub use crate::spreadsheet::mappings_csv::{read_mappings_csv, write_mappings_csv};
    }
}
pub mod store {
    pub use crate::store::{Store, StoreError, StoreOptions};
    pub mod audit {
        pub mod alerts {
            pub use crate::store::audit::alerts::LoginErrorThreshold;
        }
    }
    pub mod db {
        pub mod writer {
            pub use crate::store::db::writer::WriteClass;
        }
    }
    pub mod erp {
        pub mod event_summary {
            pub use crate::store::erp::event_summary::{EventSummary, RowReference, find_event_summary};
        }
        pub mod mappings {
            pub use crate::store::erp::mappings::ProductMapping;
        }
        pub mod changes {
            pub use crate::store::erp::changes::{ChangedEvent, apply_changes};
        }
        pub mod event_rows {
            pub use crate::store::erp::event_rows::EventRowsResult;
        }
    }
    pub mod events {
        pub mod records {
            pub use crate::store::events::records::{EventFilter, EventStatus, list_events};
        }
        pub mod search {
            pub use crate::store::events::search::search_events;
        }
        pub mod stats {
            pub use crate::store::events::stats::read_stats;
        }
    }
    pub mod access {
        pub use crate::store::access::Actor;
    }
    pub mod leases {
        pub use crate::store::leases::{Lease, LeaseOwner, Leased, LeasedTable};
        pub mod begun {
            pub use crate::store::leases::begun::{AttemptStart, BegunMark, BegunRecord};
        }
        pub mod deliveries {
            pub use crate::store::leases::deliveries::{
                DELIVERIES, DeliveryClaim, NewDelivery, enqueue_deliveries, retry_failed_deliveries,
            };
        }
        pub mod delivery_outcomes {
            pub use crate::store::leases::delivery_outcomes::{Cause, DeliveryOutcome};
        }
        pub mod event_outcomes {
            pub use crate::store::leases::event_outcomes::Outcome;
        }
        pub mod events {
            pub use crate::store::leases::events::{EVENTS, EventClaim};
        }
        pub mod files {
            pub use crate::store::leases::files::{FILES, FileClaim, FileClaimOutcome, FileClaimResult, ListedFile};
        }
        pub mod recovery {
            pub use crate::store::leases::recovery::RecoveredRow;
        }
    }
}
pub mod text {
    pub use crate::text::{clean_code, normalize_sku, normalize_tracking_code};
}
