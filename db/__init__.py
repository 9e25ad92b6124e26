"""What is stored: jobs, their history and values, results, data sets, drafts and activity."""
