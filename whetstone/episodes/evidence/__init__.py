"""What claims are held against: files that the user adds, pages that a search finds, other episodes; never an episode's
own words."""
