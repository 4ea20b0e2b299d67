"""Sets of pictures: importing, captioning and handing them to finetunes."""

from fluxsmith.services.datasets.schema import Dataset, DatasetImage, Upload
from fluxsmith.services.datasets.service import DatasetService

__all__ = ["Dataset", "DatasetImage", "DatasetService", "Upload"]
