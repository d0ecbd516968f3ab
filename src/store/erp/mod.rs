//! The ERP tables: writes of handlers and operators, and the views that commands show.

mod answer_matching;
pub mod answers;
pub mod api_lists;
pub mod changes;
pub mod edi_faults;
pub mod edi_findings;
pub mod event_rows;
pub mod event_subjects;
pub mod event_summary;
pub mod mapping_changes;
pub mod mapping_warnings;
pub mod mappings;
pub mod messages;
pub mod outbound_documents;
pub mod projection;
pub mod purchase_order_views;
pub mod purchase_orders;
pub mod sent_documents;
pub mod sent_views;
pub mod sps_mappings;
pub mod transmissions;
