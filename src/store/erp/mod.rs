//! The ERP tables: writes of handlers and operators, and the views that commands show.

mod answer_matching;
pub mod answers;
pub mod changes;
pub mod edi_faults;
pub mod edi_findings;
pub mod event_rows;
pub mod event_subjects;
pub mod event_summary;
pub mod mapping_views;
pub mod mapping_warnings;
pub mod mappings;
pub mod messages;
pub mod outbound_documents;
pub mod projection;
pub mod purchase_order_key;
pub mod purchase_order_lists;
mod purchase_order_texts;
pub mod purchase_order_views;
pub mod purchase_orders;
pub mod sales_order_lists;
pub mod sales_order_views;
pub mod sent_documents;
pub mod sent_views;
pub mod shipment_views;
pub mod sps_mappings;
pub mod transmissions;
