"""What every service stands on: database, jobs, files, pictures, logs."""
