"""Other libraries doing the same work, one file each, set up as their documentation says is fastest."""
