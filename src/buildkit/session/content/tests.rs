//! The service, called by a real gRPC client.
