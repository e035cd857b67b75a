"""Amazon EC2 as a device: ENIs and elastic IPs by the real API, through boto3. Imported only where it is used."""
