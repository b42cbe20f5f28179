//! The headers of records. The crate reads them too, and panics over a name that is no UTF-8, which brokers let pass.

use rdkafka::bindings as rd;
use rdkafka::message::BorrowedMessage;
use std::borrow::Cow;
use std::ffi::CStr;

/// The headers of a message. A name may be any bytes: what is no UTF-8 of one is shown as U+FFFD.
pub(super) fn headers<'m>(
    message: &'m BorrowedMessage<'_>,
) -> Vec<(Cow<'m, str>, Option<&'m [u8]>)> {
    let mut all = Vec::new();
    let mut list = std::ptr::null_mut();
    // SAFETY: the message lives as long as `'m`, and its list of headers belongs to it, with names and values; librdkafka
    // parses them at the first call and changes nothing of them later. Names end with a zero byte. A pointer is read only when
    // the call that sets it has said that there is something.
    unsafe {
        if rd::rd_kafka_message_headers(message.ptr(), &mut list)
            != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
        {
            return all;
        }
        for at in 0.. {
            let (mut name, mut value, mut len) = (std::ptr::null(), std::ptr::null(), 0);
            let found = rd::rd_kafka_header_get_all(list, at, &mut name, &mut value, &mut len);
            if found != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast(), len));
            all.push((CStr::from_ptr(name).to_string_lossy(), value));
        }
    }
    all
}
