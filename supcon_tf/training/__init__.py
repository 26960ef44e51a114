"""The stages that train, and what watches over them."""
