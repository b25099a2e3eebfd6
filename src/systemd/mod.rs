//! The D-Bus client.
