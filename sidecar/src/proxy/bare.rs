//! What Pingora wants to know of a stream and ours have nothing to say on.

/// A stream without TLS of its own, without digests, and shut down as any writer is.
macro_rules! bare_stream {
    ($stream:ty) => {
        #[async_trait::async_trait]
        impl pingora::protocols::Shutdown for $stream {
            async fn shutdown(&mut self) {
                // The peer may be gone already; then there is nothing left to close.
                tokio::io::AsyncWriteExt::shutdown(self).await.unwrap_or_default();
            }
        }

        impl pingora::protocols::Ssl for $stream {}

        impl pingora::protocols::Peek for $stream {}

        impl pingora::protocols::GetTimingDigest for $stream {
            fn get_timing_digest(&self) -> Vec<Option<pingora::protocols::TimingDigest>> {
                Vec::new()
            }
        }

        impl pingora::protocols::GetProxyDigest for $stream {
            fn get_proxy_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::raw_connect::ProxyDigest>> {
                None
            }
        }

        impl pingora::protocols::GetSocketDigest for $stream {
            fn get_socket_digest(
                &self,
            ) -> Option<std::sync::Arc<pingora::protocols::SocketDigest>> {
                None
            }
        }
    };
}

pub(super) use bare_stream;
