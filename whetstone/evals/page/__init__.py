"""What every page of results is made of: its frame and looks, how numbers are written, and the figures that recur."""
