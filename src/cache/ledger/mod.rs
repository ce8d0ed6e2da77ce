//! Ledgers: what is known of the image cache of one image, for one Git reference.
