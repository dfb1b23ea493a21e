!> The interface of CMF's Fortran module, with nothing behind it: for programs that are compiled against it
!! and linked with ours.
module cmflib
  implicit none
  private

  type, public :: cmf_type
  contains
    procedure :: initialize
    procedure :: initialized
    procedure :: log_metric
    procedure :: commit_metrics
    procedure :: finalize
  end type cmf_type

contains

  subroutine initialize(self, mlmd_path, pipeline_name, context_name, execution_name)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: mlmd_path, pipeline_name, context_name, execution_name

    error stop 'not linked with ours'
  end subroutine initialize

  logical function initialized(self)
    class(cmf_type), intent(in) :: self

    initialized = .false.
  end function initialized

  subroutine log_metric(self, key, dict_keys, dict_values)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: key
    character(len=*), dimension(:), intent(in) :: dict_keys, dict_values

    error stop 'not linked with ours'
  end subroutine log_metric

  subroutine commit_metrics(self, metrics_name)
    class(cmf_type), intent(in) :: self
    character(len=*), intent(in) :: metrics_name

    error stop 'not linked with ours'
  end subroutine commit_metrics

  subroutine finalize(self)
    class(cmf_type), intent(in) :: self

    error stop 'not linked with ours'
  end subroutine finalize

end module cmflib
